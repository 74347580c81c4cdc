chmod 711 t t/d
