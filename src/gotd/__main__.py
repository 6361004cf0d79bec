from gotd.cli import main

main(prog_name="gotd")
