chmod 2755 t/d
chmod 700 t
touch -d '2001-02-03 04:05:06' t/d/f t/d t
