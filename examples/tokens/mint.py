"""Prints a token for the user in SUB, signed with SECRET. Standard library only."""
import base64, hashlib, hmac, json, os, time


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mint(secret: str, user: str, **rights) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3600, "bellwire": rights}
    message = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(claims).encode())
    return message + "." + b64(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))


print(mint(os.environ["SECRET"], os.environ["SUB"], subscribe=["room:*"]))
