"""What is to be done. Pure: no process, socket, file or clock."""
