"""A program with one hot function that profiles itself with the Python SDK for some seconds."""

import sys
import time

import pyroscope


def hot_function_in_python(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


pyroscope.configure(application_name=sys.argv[2], server_address=sys.argv[1], tags={"region": "here"},
                    sample_rate=100, oncpu=True)
end = time.time() + 13
while time.time() < end:
    hot_function_in_python(200_000)
pyroscope.shutdown()
time.sleep(2)
print("done")
