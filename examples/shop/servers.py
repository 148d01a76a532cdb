"""The shop's servers: pages for looking and choosing, and one place for orders. The cart is in a cookie."""

from html import escape
from urllib.parse import parse_qs
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

PRODUCTS = {"1": ("Lantern", 2400), "2": ("Kettle", 3850), "3": ("Blanket", 5200), "4": ("Compass", 1995)}
"""Name and price in cents."""
FOR_ALL = {"Cache-Control": "public, max-age=60"}
FOR_ONE = {"Cache-Control": "no-store"}


def page(title: str, content: str, fields: dict[str, str], status: int = 200) -> Response:
    head = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    links = '<p><a href="/">Catalogue</a> · <a href="/cart">Cart</a></p>'
    return HTMLResponse(f"{head}<h1>{escape(title)}</h1>{content}{links}</html>", status, fields)


def listed(numbers: list[str]) -> str:
    lines = [f'<li><a href="/products/{n}">{PRODUCTS[n][0]}</a> {money(PRODUCTS[n][1])}</li>' for n in numbers]
    return f"<ul>{''.join(lines)}</ul>"


def money(cents: int) -> str:
    return f"{cents / 100:.2f}"


def cart_of(request: Request) -> list[str]:
    return [number for number in request.cookies.get("cart", "").split(".") if number in PRODUCTS]


def total(numbers: list[str]) -> str:
    return money(sum(PRODUCTS[number][1] for number in numbers))


async def catalogue(request: Request) -> Response:
    return page("Things for outdoors", listed(list(PRODUCTS)), FOR_ALL)


async def search(request: Request) -> Response:
    wanted = request.query_params.get("q", "")
    found = [number for number, (name, _) in PRODUCTS.items() if wanted.lower() in name.lower()]
    return page(f"Found for {wanted}", listed(found), FOR_ALL)


async def product(request: Request) -> Response:
    number = request.path_params["number"]
    if number not in PRODUCTS:
        return page("There is no such product", "", FOR_ALL, 404)
    name, price = PRODUCTS[number]
    button = f'<form method="post" action="/cart"><button name="product" value="{number}">Add to cart</button></form>'
    return page(name, f"<p>{money(price)}</p>{button}", FOR_ALL)


async def cart(request: Request) -> Response:
    chosen = cart_of(request)
    if request.method == "POST":
        wanted = parse_qs((await request.body()).decode()).get("product", [])
        answer = RedirectResponse("/cart", 303, FOR_ONE)
        answer.set_cookie("cart", ".".join([*chosen, *wanted]), httponly=True, secure=True, samesite="lax")
        return answer
    colour = "green" if "button=green" in request.headers.get("experiment-checkout", "") else "blue"
    button = f'<form method="post" action="/orders"><button style="background: {colour}">Buy</button></form>'
    return page("Your cart", f"{listed(chosen)}<p>Total: {total(chosen)}</p>{button if chosen else ''}", FOR_ONE)


async def order(request: Request) -> Response:
    chosen = cart_of(request)
    if not chosen:
        return page("There is nothing in your cart", "", FOR_ONE, 409)
    answer = page("Thank you", f"<p>Your order {uuid4()}: {total(chosen)}</p>", FOR_ONE, 201)
    answer.headers["Order-Total"] = total(chosen)
    answer.delete_cookie("cart", httponly=True, secure=True, samesite="lax")
    return answer


async def health(request: Request) -> Response:
    return PlainTextResponse("well\n", headers=FOR_ONE)


pages = Starlette(
    routes=[
        Route("/", catalogue),
        Route("/search", search),
        Route("/products/{number}", product),
        Route("/cart", cart, methods=["GET", "POST"]),
        Route("/healthz", health),
    ]
)
orders = Starlette(routes=[Route("/orders", order, methods=["POST"]), Route("/healthz", health)])
