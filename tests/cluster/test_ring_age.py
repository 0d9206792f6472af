"""The oldest heartbeat: however often members are killed and come back, what every process reports as the oldest
heartbeat of an ACTIVE member is never older than a heartbeat period and 15 s."""

import concurrent.futures
import random
import re
import time

import pytest
import requests

PERIODS = {"ingester": 5, "distributor": 15}  # -ingester.heartbeat-period, -distributor.ring.heartbeat-period
SLACK_S, BACK_S = 15, 5
ROLES = ("distributor", "ingester", "querier")


class Scraper:
    """Asks all processes at once, again and again; keeps the greatest age that each ring had anywhere."""

    def __init__(self, cluster, namespace):
        self.urls = {e["name"]: "http://" + e["http"] for role in ROLES for e in cluster.endpoints()[role]}
        self.line = re.compile(r"^%s_ring_oldest_member_timestamp\{([^}]*)\} (\S+)$" % namespace, re.M)
        self.members = re.compile(r"^%s_ring_members\{([^}]*)\} (\S+)$" % namespace, re.M)
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.http = requests.Session()
        self.http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=len(self.urls)))
        self.worst, self.samples, self.broken = {}, {}, []

    @staticmethod
    def labels(text):
        return dict(re.findall(r'(\w+)="([^"]*)"', text))

    def text(self, name):
        try:
            return self.http.get(self.urls[name] + "/metrics", timeout=5).text
        except requests.RequestException:
            return None

    def active(self, name):
        """{ring: ACTIVE members} as one process counts them."""
        out = {}
        for labels, value in self.members.findall(self.text(name) or ""):
            labels = self.labels(labels)
            if labels["state"] == "ACTIVE":
                out[labels["name"]] = int(float(value))
        return out

    def one(self, name):
        text = self.text(name)
        now = time.time()
        if text is None:
            return
        for labels, value in self.line.findall(text):
            labels = self.labels(labels)
            if labels["state"] != "ACTIVE":
                continue
            ring, age = labels["name"], now - float(value)
            self.samples[ring] = self.samples.get(ring, 0) + 1
            if age > self.worst.get(ring, (0,))[0]:
                self.worst[ring] = (age, name)
            if age > PERIODS[ring] + SLACK_S:
                self.broken.append((ring, name, round(age, 1)))

    def round(self):
        list(self.pool.map(self.one, self.urls))

    def close(self):
        self.pool.shutdown()
        self.http.close()


def ages_stay_bounded(cluster, namespace, counts, seconds, every):
    c = cluster("--distributors", str(counts[0]), "--ingesters", str(counts[1]), "--queriers", str(counts[2]),
                "--", f"-metrics.namespace={namespace}")
    s = Scraper(c, namespace)
    try:
        whole = {"distributor": counts[0], "ingester": counts[1]}
        end = time.monotonic() + 40
        while not all(s.active(name) == whole for name in s.urls):
            assert time.monotonic() < end, {name: s.active(name) for name in s.urls}
            time.sleep(0.5)
        rng, began = random.Random(5), time.monotonic()
        victims, rounds, killed = sorted(s.urls), 0, 0
        while (at := time.monotonic() - began) < seconds:
            if at >= killed * every:
                name = rng.choice(victims)
                c.kill(name)
                time.sleep(rng.uniform(0, BACK_S - 2))  # and 2 s to be there again on a busy machine
                c.restart(name)
                killed += 1
            s.round()
            rounds += 1
            time.sleep(1)
        text = ", ".join(f"{ring} {age:.1f} s at {name}" for ring, (age, name) in sorted(s.worst.items()))
        print(f"{namespace}: {killed} kills, {rounds} rounds, samples {s.samples}, greatest age {text}")
        assert not s.broken, s.broken
        assert set(s.samples) == set(PERIODS)
        for ring, samples in s.samples.items():  # nobody was silent
            assert samples >= 0.9 * rounds * len(s.urls), (ring, samples, rounds)
        assert killed >= seconds // every
    finally:
        s.close()


@pytest.mark.slow
def test_the_oldest_heartbeat_of_nine_is_young(cluster):
    ages_stay_bounded(cluster, "pyroscope", (3, 4, 2), 60, 12)


@pytest.mark.long
@pytest.mark.parametrize("namespace", ["pyroscope", "phlare"])
def test_the_oldest_heartbeat_of_thirty_is_young(cluster, namespace):
    ages_stay_bounded(cluster, namespace, (10, 12, 8), 300, 20)
