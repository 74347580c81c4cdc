mkfifo -m 640 t/pipe
