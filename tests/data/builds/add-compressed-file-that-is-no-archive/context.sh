python3 -c "import gzip; open('text.gz', 'wb').write(gzip.compress(b'just text', mtime=0))"
