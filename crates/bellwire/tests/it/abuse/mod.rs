//! What an attacker sends: each test can fail, and says what stays as it was.

mod caches;
mod cursors;
mod heads;
mod slow;
mod smuggling;
mod words;
