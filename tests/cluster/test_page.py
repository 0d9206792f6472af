"""The web page: what is served and how, its pure modules, and its numbers as a browser shows them."""

import gzip
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from emberring import labels, pprof

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "services", "querier", "page")


def get(url, **headers):
    request = urllib.request.Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def test_every_file_of_the_page_is_served_plain_and_packed(shared):
    url = shared.url("querier-0")
    status, headers, html = get(url + "/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert headers["Cache-Control"] == "no-cache"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    names = set(re.findall(r'"(assets/[0-9a-f]{12}/[a-z]+\.[a-z]+)"', html.decode()))
    files = {os.path.basename(n) for n in names} | {"index.html"}
    assert files == set(os.listdir(PAGE)), "each file is named by the page, so that all load at once"
    whole = len(html)
    for name in names:
        status, headers, plain = get(f"{url}/{name}")
        assert status == 200 and "immutable" in headers["Cache-Control"]
        with open(os.path.join(PAGE, os.path.basename(name)), "rb") as f:
            assert plain == f.read()
        status, headers, packed = get(f"{url}/{name}", Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(packed) == plain
        whole += len(plain)
    assert whole <= 150_000
    status, headers, _ = get(url + "/assets/000000000000/page.js")
    assert status == 404 and headers["Cache-Control"] == "no-store"


def test_an_unchanged_page_is_not_sent_again(shared):
    url = shared.url("querier-0")
    _, headers, _ = get(url + "/")
    status, again, body = get(url + "/", If_None_Match=headers["ETag"])
    assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])
    status, _, body = get(url + "/", If_None_Match='"other"')
    assert status == 200 and body


def test_nothing_outside_is_named_and_no_text_becomes_markup():
    banned = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|sendBeacon|"
                        r"document\.cookie|\son[a-z]+=|\sstyle=|cssText")
    for name in os.listdir(PAGE):
        with open(os.path.join(PAGE, name), encoding="utf-8") as f:
            text = f.read()
        assert not banned.search(text), f"{name}: {banned.search(text).group()}"
        for url in re.findall(r"https?://[^\s'\"`<]*", text):
            assert url.startswith(("http://www.w3.org/2000/svg", "http://localhost:6060")), f"{name}: {url}"


def test_modules(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("node is not here")
    for name in os.listdir(PAGE):
        shutil.copy(os.path.join(PAGE, name), tmp_path)
    shutil.copy(os.path.join(ROOT, "tests", "page", "modules.test.mjs"), tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(["node", "--test", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"(?m)^(# |ℹ )pass [1-9]", done.stdout)


def wait(browser, script, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = browser.execute_script(script)
        if value:
            return value
        time.sleep(0.05)
    return browser.execute_script(script)


def test_a_cluster_without_profiles_shows_how_to_send_one_and_then_opens_it(cluster, browser):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    browser.get(c.url("querier-0") + "/")
    assert wait(browser, "return document.querySelector('#first:not([hidden]) h2')?.textContent") == \
        "No profile has arrived yet"
    assert "/ingest?name=hello" in browser.find_element("id", "shell").text
    assert wait(browser, "return document.getElementById('pages').textContent") == "RingMemberlist"
    c.must_push([(labels("hello"), [pprof({("main", "work"): 5_000_000_000}, time.time_ns())])])
    headline = wait(browser, "return document.querySelector('#main:not([hidden])') && "
                             "document.getElementById('headline').textContent.includes('complete') && "
                             "document.getElementById('headline').textContent")
    assert headline.startswith("5.00 s CPU")


def test_the_page_shows_exact_numbers_and_hostile_names_as_text(shared, browser):
    now = time.time_ns()
    evil = '<img src=x onerror="document.title=1">'
    stacks = {("main", "main.run", "main.hot"): 60_000_000_000, ("main", "main.run"): 20_000_000_000,
              ("main", evil): 30_000_000_000, ("main", "main.loop", "main.loop"): 10_000_000_000}
    shared.must_push([(labels("page-service"), [pprof(stacks, now)])])
    browser.get(shared.url("querier-0") + "/?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                "%7Bservice_name%3D%22page-service%22%7D")
    headline = wait(browser, "return document.getElementById('headline').textContent.includes('complete') && "
                             "document.getElementById('headline').textContent")
    assert headline.startswith("2.00 min CPU") and headline.endswith("✓ complete")
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#table .row')].map(r => [r.querySelector('.c-name').title,"
        " r.querySelector('.c-self').title, r.querySelector('.c-total').title])")
    assert {name: (int(own), int(total)) for name, own, total in rows} == {
        "main": (0, 120_000_000_000), "main.run": (20_000_000_000, 80_000_000_000),
        "main.hot": (60_000_000_000, 60_000_000_000), evil: (30_000_000_000, 30_000_000_000),
        "main.loop": (10_000_000_000, 10_000_000_000)}
    assert [r[0] for r in rows][:2] == ["main.hot", evil]
    assert browser.find_elements("css selector", "img") == []
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_search_adds_up_and_focus_is_in_the_address(shared, browser):
    stacks = {("main", "main.run", "main.hot"): 60, ("main", "main.run"): 20, ("main", "idle"): 40}
    shared.must_push([(labels("page-search"), [pprof(stacks, time.time_ns())])])
    browser.get(shared.url("querier-0") + "/?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                "%7Bservice_name%3D%22page-search%22%7D")
    assert wait(browser, "return document.querySelectorAll('#table .row').length === 4")
    browser.find_element("id", "search").send_keys("main.(hot|run)")
    assert wait(browser, "return document.getElementById('found').textContent") == "no match"
    browser.find_element("id", "regex").click()
    assert wait(browser, "return document.getElementById('found').textContent") == "66.7 % of all, 2 names"
    browser.execute_script("document.querySelector('#flame .scroll').focus()")
    browser.switch_to.active_element.send_keys("\ue015\ue015\ue007")  # down to the widest, twice, Enter
    assert wait(browser, "return document.getElementById('crumbs').textContent.includes('run')")
    address = browser.current_url
    assert "main.run" in address
    browser.get("about:blank")
    browser.get(address)
    assert wait(browser, "return document.getElementById('crumbs').textContent.includes('run')")
    assert browser.execute_script("return document.getElementById('search').value") == "main.(hot|run)"


def test_a_slow_load_is_not_called_a_failed_one(shared, browser):
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/page.js"]})
    try:
        browser.get(shared.url("querier-0") + "/")
        shown = browser.execute_script(
            "const e = document.getElementById('stale'); e.style.animation = 'none'; e.offsetWidth; e.style.animation = '';"
            "const a = e.getAnimations()[0]; a.pause(); const out = [];"
            "for (const t of [0, 4900, 5000]) { a.currentTime = t; out.push(getComputedStyle(e).visibility); } return out")
        assert shown == ["hidden", "hidden", "visible"]
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    browser.get(shared.url("querier-0") + "/")
    assert wait(browser, "return document.getElementById('stale') === null")


def test_what_is_away_is_said_and_not_taken_for_never_sent(cluster, browser):
    c = cluster("--ingesters", "2", "--replication-factor", "1")
    c.must_push([(labels("page-away"), [pprof({("main", "work"): 5}, time.time_ns())])])
    away, there = "ingester-1", "ingester-0"
    c.kill(away)
    if c.total('{service_name="page-away"}')[0] == 5:  # the other one has it
        away, there = there, away
        c.restart(there)
        c.kill(away)
    browser.get(c.url("querier-0") + "/")
    assert f"{away} did not answer" in wait(browser, "return document.getElementById('banner').textContent")
    assert browser.find_element("id", "nothing").text.startswith("No profile between")
    browser.get(c.url("querier-0") + "/?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                "%7Bservice_name%3D%22page-away%22%7D")
    assert wait(browser, "return document.getElementById('headline').textContent.includes('may be incomplete')")
    assert browser.find_element("css selector", "#table .foot").text.endswith("from what was counted")
    c.kill(there)
    browser.find_element("css selector", "#banner button").click()
    assert wait(browser, "return document.querySelector('#banner.error')?.textContent").startswith("No answer.")
    assert [b.text for b in browser.find_elements("css selector", "#banner button")] == ["Ask again"]
