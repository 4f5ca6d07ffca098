import sys
print("cli", sys.argv[1:])
