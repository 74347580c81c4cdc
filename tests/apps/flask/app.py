import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return f"Hello from Flask, release {os.environ.get('PAAS_RELEASE', 'none')}\n"
