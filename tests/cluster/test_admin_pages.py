"""The pages for operators on real processes: they are HTML that works without script, forgetting is a
POST that spreads, values come down as they are, and an exclusive admin server has them alone."""

import html.parser
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("EMBERRING_BIN", os.path.join(ROOT, "build", "bin"))
VOID = {"meta", "link", "input", "br", "img", "hr"}
OPTIONAL = {"th"}  # </th> may be left out


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def ask(url, form=None, **headers):
    data = None if form is None else urllib.parse.urlencode(form, doseq=True).encode()
    request = urllib.request.Request(url, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


class Page(html.parser.HTMLParser):
    """A page whose elements are balanced: links, forms with their fields, texts of table rows."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.forms, self.rows, self.scripts = [], [], [], [], 0
        self.attributes, self.text = set(), ""
        self.feed(text)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.attributes |= set(attrs)
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)
        if tag == "a":
            self.links.append(attrs["href"])
        if tag == "form":
            self.forms.append({"method": attrs.get("method"), "action": attrs.get("action"), "fields": []})
        if tag in ("input", "button") and self.forms and attrs.get("name"):
            self.forms[-1]["fields"].append((attrs["name"], attrs.get("value")))
        if tag == "tr":
            self.rows.append("")
        if tag == "script":
            self.scripts += 1
            assert attrs["src"]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in OPTIONAL:
            return
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data
        if "tr" in self.open:
            self.rows[-1] += data


def shards(url):
    status, headers, body = ask(url + "/ring", Accept="application/json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    return {s["id"]: s for s in json.loads(body)["shards"] or []}


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


PATHS = ["/ring", "/distributor/ring", "/memberlist", "/admin", "/ring?tokens=true", "/ring?ask=ingester-1",
         "/ring?service=shop&tenant=%22%3E%3Cscript%3E"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_html_without_anything_from_outside(shared, path):
    for name in ("distributor-0", "ingester-0", "querier-0"):
        status, headers, body = ask(shared.url(name) + path)
        assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        page = Page(body.decode())
        assert page.scripts == 1 and "<script>" not in body.decode()
        assert not {a for a in page.attributes if a.startswith("on") or a == "style"}
        assert f"answered by {name}" in page.text
        for link in page.links:
            assert not link.startswith(("http:", "https:", "//"))


def test_all_links_of_the_pages_lead_somewhere(shared):
    for name in ("distributor-0", "querier-0"):
        seen = set()
        for path in ["/admin", "/ring", "/distributor/ring", "/memberlist"]:
            base = shared.url(name) + path
            body = ask(base)[2].decode()
            files = re.findall(r'(?:href|src)="([^"]*static/[^"]*)"', body)
            assert len(files) == 4
            for link in Page(body).links + files:
                seen.add(urllib.parse.urljoin(base, link).split("#")[0])
        for url in sorted(seen):
            assert ask(url)[0] in (200, 302), url


def test_values_come_down_as_they_are(shared):
    url = shared.url("querier-0") + "/memberlist"
    page = Page(ask(url)[2].decode())
    download = next(link for link in page.links if "downloadKey=collectors%2Fring" in link)
    status, headers, packed = ask(urllib.parse.urljoin(url, download))
    assert status == 200 and headers["Content-Type"] == "application/octet-stream"
    assert re.fullmatch(r"attachment; filename=\d+-collectors/ring", headers["Content-Disposition"])
    assert int(headers["Content-Length"]) == len(packed) and b"ingester-0" in packed
    status, headers, body = ask(url + "?viewKey=collectors/ring&format=json")
    assert status == 200 and headers["Content-Type"].startswith("text/plain") and body.count(b"\n") == 1
    value = json.loads(body)["ingesters"]
    ring = shards(shared.url("querier-0"))
    assert {i: v["tokens"] for i, v in value.items() if "tokens" in v} == {i: s["tokens"] for i, s in ring.items()}
    pretty = ask(url + "?viewKey=collectors/ring&format=json-pretty")[2]
    assert b"\n    " in pretty and json.loads(pretty)["ingesters"].keys() == value.keys()
    assert ask(url + "?viewKey=nothing")[::2] == (404, b"value not found\n")
    assert ask(url + "?downloadKey=nothing")[::2] == (404, b"value not found\n")
    assert ask(url + "?viewMsg=x")[0] == 400 and ask(url + "?viewMsg=1")[::2] == (404, b"message not found\n")


def test_messages_are_kept_decoded_and_cleared(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--", "-memberlist.message-history-buffer-bytes=100000")
    url = c.url("querier-0") + "/memberlist"
    until(lambda: "decode" in ask(url)[2].decode())
    link = next(x for x in Page(ask(url)[2].decode()).links if "viewMsg" in x)
    assert json.loads(ask(urllib.parse.urljoin(url, link))[2])["ingesters"]
    whole = json.loads(ask(url, Accept="application/json")[2])
    assert whole["MessageHistoryBufferBytes"] == 100000
    number = int(re.search(r"viewMsg=(\d+)", link).group(1))
    assert number in [m["ID"] for m in (whole["SentMessages"] or []) + (whole["ReceivedMessages"] or [])]
    assert ask(url + "?deleteMessages=true", Sec_Fetch_Site="cross-site")[0] == 403
    status, headers, _ = ask(url + "?deleteMessages=true")
    assert (status, headers["Location"]) == (302, "?deleteMessages=false")
    until(lambda: ask(urllib.parse.urljoin(url, link))[0] == 404, 5)


def test_the_dead_are_forgotten_by_one_post_and_everywhere(cluster):
    c = cluster("--ingesters", "5", "--", "-ring.heartbeat-timeout=8s", "-ingester.heartbeat-period=1s")
    querier, other = c.url("querier-0"), c.url("ingester-0")
    for name in ("ingester-2", "ingester-3", "ingester-4"):
        c.kill(name)
    until(lambda: [s["state"] for s in shards(querier).values()].count("UNHEALTHY") == 3)

    page = Page(ask(querier + "/ring")[2].decode())
    assert "of the ring has lost its quorum" in page.text
    assert any("ingester-2" in row and "UNHEALTHY" in row for row in page.rows)
    assert "ask_unhealthy" in [n for f in page.forms for n, _ in f["fields"]]
    dialog = Page(ask(querier + "/ring?ask_unhealthy=true")[2].decode())
    form = dialog.forms[-1]
    assert "Forget 3 instances?" in dialog.text and form["method"] == "post"
    assert form["fields"] == [("forget", "ingester-2"), ("forget", "ingester-3"), ("forget", "ingester-4")]

    # From a page of somebody else it is refused, and nothing happens.
    for foreign in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert ask(querier + "/ring", {"forget": "ingester-2"}, **foreign)[0] == 403
    assert ask(querier + "/ring", {"other": "x"})[0] == 400
    status, _, body = ask(querier + "/ring", {"forget": "nobody"})
    assert (status, body) == (302, b"nobody was forgotten, not in the ring: nobody\n")
    assert len(shards(querier)) == 5

    # As a browser sends the form, but for one; and once more, which does no harm.
    for _ in range(2):
        status, headers, _ = ask(urllib.parse.urljoin(querier + "/ring", form["action"]), form["fields"][:2],
                                 Origin=querier, Sec_Fetch_Site="same-origin")
        assert (status, headers["Location"]) == (302, "#")
    assert sorted(shards(querier)) == ["ingester-0", "ingester-1", "ingester-4"]
    until(lambda: sorted(shards(other)) == ["ingester-0", "ingester-1", "ingester-4"])
    page = Page(ask(querier + "/ring")[2].decode())
    gone = [row for row in page.rows if "LEFT" in row]
    assert len(gone) == 2 and ("waiting for the others" in gone[0] or "forgotten" in gone[0])

    # All unhealthy ones by their state, without a list; none that lives goes.
    assert ask(querier + "/ring", {"forget_unhealthy": "true"})[0] == 302
    assert sorted(shards(querier)) == ["ingester-0", "ingester-1"]
    until(lambda: sorted(shards(other)) == ["ingester-0", "ingester-1"])

    # Who lives comes straight back.
    assert ask(querier + "/ring", {"forget": "ingester-1"})[0] == 302
    until(lambda: shards(querier).get("ingester-1", {}).get("state") == "ACTIVE")


def test_who_is_in_the_ring_but_not_a_member_stands_first(cluster):
    c = cluster("--ingesters", "3", "--", "-ingester.unregister-on-shutdown=false")
    c.kill("ingester-1", "TERM")
    url = c.url("querier-0") + "/memberlist"
    until(lambda: "is in the ring but not a member" in ask(url)[2].decode())
    page = Page(ask(url)[2].decode())
    rows = [r for r in page.rows if "ingester-" in r or "querier-" in r]
    assert rows[0].startswith("ingester-1") and "not a member" in rows[0]
    members = json.loads(ask(url, Accept="application/json")[2])["SortedMembers"]
    assert "ingester-1" not in [m["Name"] for m in members]


def test_the_tabs_fit_and_who_answered_gives_way(shared, browser):
    querier = "http://" + shared.endpoints()["querier"][0]["http"]
    widths = "const [n, a] = ['.top nav', '#answered'].map(s => document.querySelector(s));" \
             "return [n.scrollWidth - n.clientWidth, a.scrollWidth - a.clientWidth]"
    try:
        for width in (1280, 1210, 1024):
            browser.set_window_size(width, 900)
            browser.get(querier + "/ring")
            tabs, answered = browser.execute_script(widths)
            assert tabs == 0, (width, tabs)
            assert answered > 0 or width != 1210, (width, answered)
    finally:
        browser.set_window_size(1440, 900)


def test_a_browser_refreshes_asks_and_forgets(cluster, browser):
    c = cluster("--ingesters", "3", "--", "-ring.heartbeat-timeout=8s", "-ingester.heartbeat-period=1s")
    url = c.url("distributor-0") + "/ring"

    def text(selector):
        """In one step: a refresh may replace the element at any time."""
        return browser.execute_script("return document.querySelector(arguments[0])?.textContent || ''", selector)

    browser.get(url)
    before = text("#answered")
    until(lambda: text("#answered") not in ("", before))
    c.kill("ingester-1")
    link = "tr.bad .forget[href$='ask=ingester-1']"
    until(lambda: "ingester-1" in text(".verdict") and text(link), 60)
    browser.execute_script("document.querySelector(arguments[0]).click()", link)
    until(lambda: text("dialog kbd:not([hidden])") == "Esc")  # the script has run
    assert browser.execute_script("return document.activeElement.textContent").startswith("Keep it")
    browser.find_element("css selector", "dialog a").send_keys("\ue00c")  # Escape
    until(lambda: browser.current_url == url)
    browser.get(url + "?ask=ingester-1")
    browser.find_element("css selector", "dialog .danger").click()
    until(lambda: browser.current_url == url + "#")
    until(lambda: "LEFT" in text("tr.gone"))
    assert sorted(shards(c.url("distributor-0"))) == ["ingester-0", "ingester-2"]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("mode", ["disabled", "additional", "exclusive"])
def test_the_admin_server_has_the_pages_as_its_mode_says(tmp_path, mode):
    public, admin = free_port(), free_port()
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [os.path.join(BIN, "querier"), "-server.http-listen-address=127.0.0.1",
             f"-server.http-listen-port={public}", "-memberlist.bind-addr=127.0.0.1", "-memberlist.bind-port=0",
             f"-admin-server.mode={mode}", f"-admin-server.http-listen-port={admin}"], stderr=log)
    try:
        def status(port, path):
            try:
                return ask(f"http://127.0.0.1:{port}{path}")[0]
            except OSError:
                return None
        until(lambda: status(public, "/api/v1/status/buildinfo") == 200)
        for path in ["/ring", "/distributor/ring", "/memberlist", "/admin", "/metrics", "/api/v1/status/config"]:
            assert status(public, path) == (404 if mode == "exclusive" else 200), path
            assert status(admin, path) == (None if mode == "disabled" else 200), path
        assert status(public, "/ready") == (404 if mode == "exclusive" else 503)
        assert status(public, "/") == 200, "the explorer is for users"
        assert ask(f"http://127.0.0.1:{public}/ring", {"forget": "x"})[0] == (404 if mode == "exclusive" else 302)
        if mode != "disabled":
            assert status(admin, "/") == 302 and status(admin, "/querier.v1.QuerierService/LabelNames") == 404
    finally:
        process.terminate()
        assert process.wait(60) == 0


def crawl(start):
    """Everything that the pages at `start` lead to on their port, by any number of steps: (page, link, status)."""
    port, found, left = urllib.parse.urlsplit(start).netloc, {}, [(None, start)]
    while left:
        page, url = left.pop()
        url = url.split("#")[0]
        if url in found:
            continue
        assert urllib.parse.urlsplit(url).netloc == port, (page, url)
        status, headers, body = ask(url)
        if status == 302:
            left.append((url, urllib.parse.urljoin(url, headers["Location"])))
            status = 200
        found[url] = (page, url, status)
        if status == 200 and (headers["Content-Type"] or "").startswith("text/html"):
            text = body.decode()
            links = Page(text).links + re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="([^"]+)"', text)
            links += [f["action"] or "" for f in Page(text).forms]
            left += [(url, urllib.parse.urljoin(url, link)) for link in links]
        assert len(found) < 500
    return list(found.values())


@pytest.mark.parametrize("mode", ["additional", "exclusive"])
@pytest.mark.parametrize("role", ["distributor", "querier", "receive-proxy"])
def test_every_link_of_every_page_leads_somewhere_on_its_port(shared, tmp_path, role, mode):
    e = shared.endpoints()
    public, admin = free_port(), free_port()
    if role != "receive-proxy":
        args = [a for a in e[role][0]["args"] if not re.search("port|nodename|instance-id|join", a)]
    else:
        (tmp_path / "config.alloy").write_text("", encoding="utf-8")
        args = [f"-config.file={tmp_path}/config.alloy", "-memberlist.bind-addr=127.0.0.1"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [os.path.join(BIN, role), *args, f"-server.http-listen-port={public}", "-memberlist.bind-port=0",
             f"-memberlist.join={e['ingester'][0]['gossip']}", "-memberlist.nodename=crawled",
             "-distributor.ring.instance-id=crawled", f"-admin-server.mode={mode}", f"-admin-server.http-listen-port={admin}"], stderr=log)
    try:
        def ready():
            try:
                return ask(f"http://127.0.0.1:{admin}/ready")[0] == 200
            except OSError:
                assert process.poll() is None, open(tmp_path / "log", encoding="utf-8").read()[-2000:]
                return False
        until(ready)
        found = []
        for port in (public, admin):
            for path in ("/", "/admin"):
                if ask(f"http://127.0.0.1:{port}{path}")[0] != 404:
                    found += crawl(f"http://127.0.0.1:{port}{path}")
        assert [x for x in found if x[2] != 200] == []
        paths = {urllib.parse.urlsplit(url)[1:3] for _, url, _ in found}
        assert {(f"127.0.0.1:{admin}", p) for p in ("/ring", "/distributor/ring", "/memberlist", "/metrics")} <= paths
        titles = {url: ask(url)[2].decode() for page, url, _ in found if urllib.parse.urlsplit(url).path == "/admin"}
        explorer = [port for port in (public, admin) if ">Explore</a>" in titles.get(f"http://127.0.0.1:{port}/admin", "")]
        assert explorer == ([public] if (role, mode) == ("querier", "additional") else [])
    finally:
        process.terminate()
        assert process.wait(60) == 0, open(tmp_path / "log", encoding="utf-8").read()[-2000:]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
