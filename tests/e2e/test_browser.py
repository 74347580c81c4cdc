"""A visitor with a real browser: headless Chromium opens the app through nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.samples import app
from harness import Instance

pytestmark = pytest.mark.e2e

PAGE = """<!doctype html><title>Shop</title><h1>Welcome</h1><p id="out"></p>
<script>fetch("/env/GREETING").then(r => r.text()).then(t => document.getElementById("out").textContent = t)</script>"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={tmp_path}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def test_a_visitor_sees_the_page_and_its_script_reaches_the_app(
    instance: Instance, app_name: str, browser: webdriver.Chrome
) -> None:
    instance.repository(app(PAGE)).push(app_name).expect()
    instance.ssh("config:set", app_name, "GREETING=hello-from-config").expect()
    browser.get(instance.url(app_name))
    assert browser.title == "Shop"
    assert browser.find_element(By.TAG_NAME, "h1").text == "Welcome"
    WebDriverWait(browser, 10).until(lambda page: page.find_element(By.ID, "out").text == "hello-from-config")


def test_a_stopped_app_shows_the_error_page(instance: Instance, app_name: str, browser: webdriver.Chrome) -> None:
    instance.repository(app("up")).push(app_name).expect()
    instance.ssh("ps:stop", app_name).expect()
    browser.get(instance.url(app_name))
    assert browser.find_element(By.TAG_NAME, "h1").text
