r"""dj-stripe's side: its webhook view, called with each event as Django calls it.

The view checks the signature, stores the request, stores the event, fetches the object that the
event names from Stripe, with whatever it refers to that is not there yet, saves it, and answers:
all before the answer, in one thread, without a queue. A failure answers 500, and nothing but Stripe
tries again. Customers and the price are there before, so that they need not be fetched. Its clients
are threads with a database connection each; no middleware is in between.

    DATABASE_URL=... STRIPE_URL=... STRIPE_KEY=... STRIPE_VERSION=... WEBHOOK_SECRET=... \
        python -m benchmarks.peers.djstripe_load
"""

import hashlib
import hmac
import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import django
from django.conf import settings

from benchmarks._samples import Sample, sample_of

_URL = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    SECRET_KEY="benchmark",  # noqa: S106 - nothing is behind it
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _URL.hostname,
            "PORT": _URL.port,
            "USER": _URL.username,
            "NAME": _URL.path.removeprefix("/"),
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "djstripe"],
    # The tables as they are now, without the history of how they came to be: that takes a minute.
    MIGRATION_MODULES={"auth": None, "contenttypes": None, "djstripe": None},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    ROOT_URLCONF="djstripe.urls",
    ALLOWED_HOSTS=["*"],
    STRIPE_API_HOST=os.environ["STRIPE_URL"],
    STRIPE_TEST_SECRET_KEY=os.environ["STRIPE_KEY"],
    STRIPE_LIVE_MODE=False,
    STRIPE_API_VERSION=os.environ["STRIPE_VERSION"],
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    LOGGING_CONFIG=None,
)
django.setup()

import stripe  # noqa: E402 - Django first
from django.core.management import call_command  # noqa: E402 - Django first
from django.test import RequestFactory  # noqa: E402 - Django first
from djstripe import models  # noqa: E402 - Django first
from djstripe.views import ProcessWebhookView  # noqa: E402 - Django first

SECRET = os.environ["WEBHOOK_SECRET"]


def main() -> None:
    """Make its tables, then handle what is asked for."""
    warnings.simplefilter("ignore")
    stripe.api_key = os.environ["STRIPE_KEY"]
    stripe.api_version = os.environ["STRIPE_VERSION"]
    # The simulator's items have a price, and not the plan beside it that they had before 2020.
    models.SubscriptionItem._meta.get_field("plan").null = True  # noqa: SLF001 - it is Django's public name
    call_command("migrate", run_syncdb=True, verbosity=0)
    endpoint = models.WebhookEndpoint.objects.create(
        id="we_benchmark",
        livemode=False,
        enabled_events=["*"],
        secret=SECRET,
        status="enabled",
        url="https://app.example/webhook",
        djstripe_uuid=uuid4(),
    )
    for price in stripe.Price.list(limit=100).auto_paging_iter():
        models.Price.sync_from_stripe_data(price)
    print(json.dumps({"ready": True}), flush=True)
    subscriptions = 0
    for line in sys.stdin:
        asked = json.loads(line)
        for name in asked["customers"]:
            models.Customer.sync_from_stripe_data(stripe.Customer.retrieve(name))
        events = json.loads(Path(asked["file"]).read_text())
        sample = handle(events, asked["clients"], endpoint.djstripe_uuid)
        subscriptions += len(asked["customers"])
        found = models.Subscription.objects.count()
        if found != subscriptions:
            raise AssertionError(f"{found} subscriptions are there and not {subscriptions}")
        print(sample.to_json(), flush=True)


def handle(events: list[dict[str, object]], clients: int, uuid: object) -> Sample:
    """Have so many threads deliver all events, each its next when its last was answered."""
    view = ProcessWebhookView.as_view()
    requests = RequestFactory()
    bodies = [json.dumps(event, indent=2).encode() for event in events]
    waiting = iter([(body, _signature(body)) for body in bodies])
    lock = threading.Lock()
    latencies: list[float] = []
    faults: list[BaseException] = []

    def client() -> None:
        try:
            while True:
                with lock:
                    found = next(waiting, None)
                if found is None:
                    return
                body, signature = found
                begun = time.perf_counter()
                request = requests.post(
                    f"/webhook/{uuid}/",
                    data=body,
                    content_type="application/json",
                    headers={"stripe-signature": signature},
                )
                answer = view(request, uuid=uuid)
                if answer.status_code != 200:
                    raise AssertionError(f"an event was answered with {answer.status_code}")
                latencies.append(time.perf_counter() - begun)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            faults.append(error)

    begun = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if faults:
        raise faults[0]
    return sample_of(latencies, seconds, done=len(latencies))


def _signature(body: bytes) -> str:
    at = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


if __name__ == "__main__":
    main()
