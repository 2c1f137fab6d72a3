//! What stands between clients and a server: a listener, served on a thread of its own until it is
//! dropped. The proxy and the tunnel say what becomes of what arrives.

use std::{future::Future, net::SocketAddr};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

#[derive(Debug)]
pub(crate) struct Between {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Between {
    /// Serves a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the operating system has no port or no thread left.
    pub(crate) fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread is free");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        runtime.spawn(serve(listener));
        Self {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
