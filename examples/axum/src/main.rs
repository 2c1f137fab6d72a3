//! A shop whose pages hear of their user's orders at once. axum; Bellwire pushes.

use std::{
    env,
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{FromRef, FromRequestParts, State},
    http::{Request, StatusCode, request::Parts},
    response::Html,
    routing::{get, post},
};
use axum_extra::extract::cookie::{Cookie, Key, SignedCookieJar};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use hyper_util::{
    client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::net::TcpListener;

/// What the handlers share. `orders` stands for your database.
struct Shop {
    bellwire: String,
    secret: String,
    api_key: String,
    http: Client<HttpConnector, Body>,
    sessions: Key,
    orders: Mutex<Vec<(String, Order)>>,
}

#[derive(Clone, Serialize)]
struct Order {
    id: String,
    item: String,
}

#[derive(Clone)]
struct App(Arc<Shop>);

impl FromRef<App> for Key {
    fn from_ref(App(shop): &App) -> Self {
        shop.sessions.clone()
    }
}

/// Who is logged in.
struct User(String);

impl FromRequestParts<App> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let jar = SignedCookieJar::<Key>::from_request_parts(parts, app)
            .await
            .expect("reading cookies cannot fail");
        let user = jar.get("user").ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self(user.value().to_owned()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = Shop {
        bellwire: env::var("BELLWIRE_URL")?,
        secret: env::var("BELLWIRE_SECRET")?,
        api_key: env::var("BELLWIRE_KEY")?,
        http: Client::builder(TokioExecutor::new()).build_http(),
        sessions: Key::from(&Sha512::digest(env::var("SESSION_SECRET")?)),
        orders: Mutex::default(),
    };
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("../../page.html")) }))
        .route("/login", post(login))
        .route("/push-token", get(push_token))
        .route("/orders", post(create_order))
        .with_state(App(Arc::new(shop)));
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://127.0.0.1:{port}/");
    axum::serve(listener, app).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

async fn login(
    jar: SignedCookieJar,
    Form(Login { user }): Form<Login>,
) -> (StatusCode, SignedCookieJar) {
    // Your own way to find out who it is belongs here.
    let cookie = Cookie::build(("user", user)).path("/").http_only(true);
    (StatusCode::NO_CONTENT, jar.add(cookie))
}

async fn push_token(State(App(shop)): State<App>, User(user): User) -> Json<Value> {
    let token = mint(&user, &shop.secret);
    Json(json!({ "server": shop.bellwire, "token": token }))
}

/// What the page shows to Bellwire: it is `user`, for ten minutes.
fn mint(user: &str, secret: &str) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970");
    let header = part(json!({ "alg": "HS256", "typ": "JWT" }));
    let body = format!(
        "{header}.{}",
        part(json!({ "sub": user, "exp": now.as_secs() + 600 }))
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{body}.{signature}")
}

#[derive(Deserialize)]
struct Wish {
    item: String,
}

async fn create_order(
    State(App(shop)): State<App>,
    User(user): User,
    Form(Wish { item }): Form<Wish>,
) -> (StatusCode, Json<Order>) {
    let id = uuid::Uuid::new_v4().to_string();
    let order = Order { id, item };
    shop.orders
        .lock()
        .expect("no handler panics")
        .push((user.clone(), order.clone()));
    // Only now, after the commit: nobody may hear of an order that was rolled back. A push that
    // fails fails no order.
    let publishing = publish(&shop, &user, "ordered", &order);
    match tokio::time::timeout(Duration::from_secs(2), publishing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("not published: {error}"),
        Err(_) => eprintln!("not published: no answer came"),
    }
    (StatusCode::CREATED, Json(order))
}

/// Tells a user's pages something. Safe to repeat: the key makes it one message.
async fn publish(
    shop: &Shop,
    user: &str,
    event: &str,
    order: &Order,
) -> Result<(), Box<dyn Error>> {
    let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
    let request = Request::post(format!("{}/v1/users/{user}?event={event}", shop.bellwire))
        .header("authorization", format!("Bearer {}", shop.api_key))
        .header("content-type", "application/json")
        .header("idempotency-key", &order.id)
        .body(Body::from(json!(order).to_string()))?;
    let response = shop.http.request(request).await?;
    if response.status() == StatusCode::OK {
        return Ok(());
    }
    Err(format!("the answer is {}", response.status()).into())
}
