from gotd.cli import main

main()
