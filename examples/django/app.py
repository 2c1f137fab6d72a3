"""A shop whose pages hear of their user's orders at once. Django, in one file; Bellwire pushes."""

import json
import os
import sys
import time
import uuid
from functools import partial, wraps
from http.client import HTTPException
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote
from urllib.request import Request, urlopen

import django
import jwt
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection, models, transaction
from django.http import FileResponse, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

BELLWIRE_URL = os.environ["BELLWIRE_URL"]
PAGE = Path(__file__).parent.parent / "page.html"

settings.configure(
    DEBUG=True,
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY=os.environ["SESSION_SECRET"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    # Add CsrfViewMiddleware, and its token to the page's requests, in a site of your own.
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(mkdtemp()) / "shop.sqlite3",
        }
    },
)
django.setup()


class Order(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.CharField(max_length=100)
    item = models.CharField(max_length=100)

    class Meta:
        app_label = "shop"


def publish(user, event, data):
    """Tells a user's pages something. Safe to repeat: the key makes it one message."""
    request = Request(
        f"{BELLWIRE_URL}/v1/users/{quote(user, safe='')}?event={event}",
        data=json.dumps(data).encode(),
        headers={
            "authorization": f"Bearer {os.environ['BELLWIRE_KEY']}",
            "content-type": "application/json",
            "idempotency-key": data["id"],
        },
    )
    # A push that fails fails no order.
    try:
        urlopen(request, timeout=2).close()
    except (OSError, HTTPException) as error:
        print(f"not published: {error}", file=sys.stderr)


def signed_in(view):
    @wraps(view)
    def wrapped(request):
        user = request.session.get("user")
        return view(request, user) if user else HttpResponse(status=401)

    return wrapped


def page(request):
    return FileResponse(PAGE.open("rb"))


@require_POST
def login(request):
    # Your own way to find out who it is belongs here.
    request.session["user"] = request.POST["user"]
    return HttpResponse(status=204)


@signed_in
def push_token(request, user):
    claims = {"sub": user, "exp": int(time.time()) + 600}
    token = jwt.encode(claims, os.environ["BELLWIRE_SECRET"], algorithm="HS256")
    return JsonResponse({"server": BELLWIRE_URL, "token": token})


@require_POST
@signed_in
@transaction.atomic
def create_order(request, user):
    order = Order.objects.create(user=user, item=request.POST["item"])
    data = {"id": str(order.id), "item": order.item}
    # After the commit: nobody may hear of an order that was rolled back.
    transaction.on_commit(partial(publish, user, "ordered", data))
    return JsonResponse(data, status=201)


urlpatterns = [
    path("", page),
    path("login", login),
    path("push-token", push_token),
    path("orders", create_order),
]

if __name__ == "__main__":
    with connection.schema_editor() as editor:  # in place of migrations
        editor.create_model(Order)
    port = os.environ.get("PORT", "3000")
    execute_from_command_line(["app.py", "runserver", "--noreload", f"127.0.0.1:{port}"])
