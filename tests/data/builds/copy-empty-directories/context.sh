mkdir -p empty deep/er/empty
chmod 711 empty
