"""A shop whose pages hear of their user's orders at once. FastAPI; Bellwire pushes."""

import os
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import httpx
import jwt
import uvicorn
from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import FileResponse
from starlette.middleware.sessions import SessionMiddleware

BELLWIRE_URL = os.environ["BELLWIRE_URL"]
PAGE = Path(__file__).parent.parent / "page.html"

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"])
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("create table orders (id text primary key, user text, item text)")
bellwire = httpx.AsyncClient(
    base_url=BELLWIRE_URL,
    headers={"authorization": f"Bearer {os.environ['BELLWIRE_KEY']}"},
    timeout=2,
)


async def publish(user: str, event: str, data: dict[str, str]) -> None:
    """Tells a user's pages something. Safe to repeat: the key makes it one message."""
    response = await bellwire.post(
        f"/v1/users/{quote(user, safe='')}",
        params={"event": event},
        headers={"idempotency-key": data["id"]},
        json=data,
    )
    response.raise_for_status()


def signed_in(request: Request) -> str:
    if user := request.session.get("user"):
        return user
    raise HTTPException(401)


User = Annotated[str, Depends(signed_in)]


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.post("/login", status_code=204)
async def login(request: Request, user: Annotated[str, Form()]) -> None:
    # Your own way to find out who it is belongs here.
    request.session["user"] = user


@app.get("/push-token")
async def push_token(user: User) -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 600}
    token = jwt.encode(claims, os.environ["BELLWIRE_SECRET"], algorithm="HS256")
    return {"server": BELLWIRE_URL, "token": token}


@app.post("/orders", status_code=201)
async def create_order(user: User, item: Annotated[str, Form()]) -> dict[str, str]:
    order = {"id": str(uuid.uuid4()), "item": item}
    with database:  # commits at its end, or rolls back
        database.execute("insert into orders values (?, ?, ?)", (order["id"], user, item))
    # Only now: nobody may hear of an order that was rolled back. A push that fails fails no order.
    try:
        await publish(user, "ordered", order)
    except httpx.HTTPError as error:
        print(f"not published: {error}")
    return order


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "3000")))
