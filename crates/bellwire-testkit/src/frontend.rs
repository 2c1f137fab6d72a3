//! Real proxies in front of a server, nginx and HAProxy from Debian, as child processes that end
//! when dropped. Tests of what happens behind proxies call it; it must not know the server.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A proxy that answers.
#[derive(Debug)]
pub struct Frontend {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Frontend {
    /// Starts nginx with these directives inside of `http { }`. `LISTEN` in them becomes its address,
    /// `DIRECTORY` a place for files.
    ///
    /// # Panics
    /// When there is no nginx, or it refuses the configuration.
    #[must_use]
    pub fn nginx(http: &str) -> Self {
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path DIRECTORY/{name};"));
        let config = format!(
            "pid DIRECTORY/pid; worker_processes 1; events {{ worker_connections 10000; }}\n\
             http {{ access_log off; {} {http} }}\n",
            paths.join(" ")
        );
        Self::start(&config, |file, directory| {
            let mut command = Command::new("/usr/sbin/nginx");
            command.arg("-c").arg(file).arg("-p").arg(directory);
            command.args(["-g", "daemon off; error_log stderr crit;"]);
            command
        })
    }

    /// Starts HAProxy with these sections. `LISTEN` in them becomes its address.
    ///
    /// # Panics
    /// When there is no HAProxy, or it refuses the configuration.
    #[must_use]
    pub fn haproxy(sections: &str) -> Self {
        let config = format!(
            "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n{sections}\n"
        );
        Self::start(&config, |file, _| {
            let mut command = Command::new("/usr/sbin/haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        })
    }

    fn start(config: &str, program: impl Fn(&PathBuf, &PathBuf) -> Command) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwire-frontend-{}-{nth}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("there is room for a directory");
        let address = free_address();
        let config = config
            .replace("LISTEN", &address.to_string())
            .replace("DIRECTORY", directory.to_str().expect("a path in UTF-8"));
        let file = directory.join("config");
        fs::write(&file, config).expect("there is room for a file");
        let mut command = program(&file, &directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} does not start ({error}); install nginx-light and haproxy")
        });
        wait::until("the proxy to listen", || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{command:?} ended at its start");
            TcpStream::connect(address).is_ok()
        });
        Self {
            child,
            address,
            directory,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        // Not SIGKILL, which would leave its workers behind.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}
