//! A proxy in front of a sandbox, started on free ports and stopped when it is dropped.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod forward_proxy;
pub(crate) mod http;
pub(crate) mod program;
pub(crate) mod sink;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod websocket;

use std::{
    future::Future,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::TimeSource;
use bytes::Bytes;
use countersign::{
    app::{self, App},
    clock::Clock,
    credentials::{self, AuthFlow, Cognito, IdentityPool, Login, RoleChoice, UserPool, channel::Receiver},
    downstream::listener::Listen,
    forward_proxy::ForwardProxies,
    inspector,
    proxy::{
        GuardSettings, Limits, PayloadSigning, Resolver, RouteSettings, Settings as ProxySettings, Timeouts,
        WebsocketSigning,
    },
    sandbox::{self, Faults, Sandbox},
    shutdown::{self, Trigger},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    task::JoinSet,
    time::{self, timeout},
};

pub(crate) use self::http::{Answer, Connection};
use self::tls::Authority;

/// How long a test waits for what must come: far more than it takes on a busy machine. It guards against hanging, and no
/// test depends on its length.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must come, and fails the test when it does not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

type Change = Box<dyn FnOnce(&mut app::Settings) + Send>;

/// What is started, and how it differs from the defaults.
pub(crate) struct Setup {
    sandbox: sandbox::Settings,
    clock: Clock,
    faults: Box<dyn FnOnce(&Faults) + Send>,
    proxy: Vec<Change>,
    waits: bool,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            sandbox: sandbox::Settings::default(),
            clock: Clock::system(),
            faults: Box::new(|_| {}),
            proxy: Vec::new(),
            waits: true,
        }
    }

    /// Changes the sandbox's settings.
    pub(crate) fn sandbox(mut self, change: impl FnOnce(&mut sandbox::Settings)) -> Self {
        change(&mut self.sandbox);
        self
    }

    /// Changes the proxy's settings, which were made for the sandbox.
    pub(crate) fn proxy(mut self, change: impl FnOnce(&mut app::Settings) + Send + 'static) -> Self {
        self.proxy.push(Box::new(change));
        self
    }

    /// Serves in the runtime of the test, whose time can be paused, and with one pool of connections to the upstream.
    pub(crate) fn in_one_runtime(self) -> Self {
        self.proxy(|settings| settings.threads = None)
    }

    /// Sends requests elsewhere than to the sandbox's API.
    pub(crate) fn upstream(self, url: impl Into<String>) -> Self {
        let url = url.into().parse().expect("a URL");
        self.proxy(|settings| settings.proxy.routes[0].upstream = url)
    }

    /// Trusts the certificates of `authority` on the way to the upstream.
    pub(crate) fn trusting(self, authority: &Authority) -> Self {
        let roots = authority.file();
        self.proxy(move |settings| settings.proxy.ca_files = vec![roots])
    }

    /// Plans faults before the proxy starts.
    pub(crate) fn faults(mut self, plan: impl FnOnce(&Faults) + Send + 'static) -> Self {
        self.faults = Box::new(plan);
        self
    }

    /// Gives the proxy this clock, which the sandbox does not share.
    pub(crate) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Does not wait for credentials.
    pub(crate) fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }

    pub(crate) async fn start(self) -> Running {
        let sandbox = sandbox::start(self.sandbox).await.expect("free ports");
        (self.faults)(sandbox.faults());
        let mut settings = settings(&sandbox);
        for change in self.proxy {
            change(&mut settings);
        }
        let proxy = Proxy::start(settings, self.clock);
        if self.waits {
            soon("credentials", proxy.credentials.valid()).await.expect("credentials");
        }
        Running { proxy, sandbox }
    }
}

/// A local clock that a test sets wrong, and right again; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrongClock(Arc<AtomicI64>);

impl WrongClock {
    /// The system's clock and so many seconds.
    pub(crate) fn ahead_by(seconds: i64) -> Self {
        let clock = Self::default();
        clock.set(seconds);
        clock
    }

    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::from_source(self.clone())
    }
}

impl TimeSource for WrongClock {
    fn now(&self) -> SystemTime {
        let seconds = self.0.load(Ordering::SeqCst);
        let by = Duration::from_secs(seconds.unsigned_abs());
        let now = Clock::system().local();
        if seconds >= 0 { now + by } else { now - by }
    }
}

/// A local clock that a test stops, and sets; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StoppedClock(Arc<Mutex<SystemTime>>);

impl StoppedClock {
    /// Stands at the present.
    pub(crate) fn now() -> Self {
        Self(Arc::new(Mutex::new(Clock::system().local())))
    }

    pub(crate) fn set(&self, time: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::from_source(self.clone())
    }
}

impl TimeSource for StoppedClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy and a sandbox with the defaults.
pub(crate) async fn start() -> Running {
    Setup::new().start().await
}

/// A running proxy and its sandbox.
pub(crate) struct Running {
    pub(crate) proxy: Proxy,
    pub(crate) sandbox: Sandbox,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) credentials: Receiver,
    trigger: Trigger,
    tasks: JoinSet<()>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Proxy {
    fn start(settings: app::Settings, clock: Clock) -> Self {
        let app = App::bind(settings, clock).expect("free ports");
        let address = address_of(Some(app.url()));
        let admin = address_of(app.admin_url());
        let credentials = app.credentials();
        let (trigger, shutdown) = shutdown::channel();
        let mut tasks = JoinSet::new();
        let running = app.run(trigger.clone(), shutdown);
        tasks.spawn(async move { running.await.expect("a data path") });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, admin, credentials, trigger, tasks, client }
    }

    /// Asks for the end, without waiting for it.
    pub(crate) fn begin_shutdown(&self) {
        self.trigger.request();
    }

    /// The same as a person with Ctrl-C at a terminal.
    pub(crate) fn begin_interactive_shutdown(&self) {
        self.trigger.request_interactively();
    }

    /// Waits until the proxy has ended.
    pub(crate) async fn ended(&mut self) {
        soon("the end of the proxy", self.tasks.join_next()).await.expect("one task").expect("no panic");
    }

    /// A connection to the data port, on which nothing is sent yet.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends a request to the data port; a path in the URI is enough.
    pub(crate) async fn send(&self, request: ::http::Request<impl Into<Bytes>>) -> Answer {
        http::exchange(&self.client, self.address, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(http::get(path)).await
    }

    /// Asks every ten seconds for so many minutes, which are over at once.
    pub(crate) async fn ask_for_minutes(&self, minutes: u64) {
        for _ in 0..minutes * 6 {
            // Only while nothing is under way, so that nothing times out.
            time::pause();
            time::advance(Duration::from_secs(10)).await;
            time::resume();
            assert_eq!(self.get("/x").await.status, 200);
        }
    }

    /// Sends a request to the admin port.
    pub(crate) async fn ask_admin(&self, request: ::http::Request<impl Into<Bytes>>) -> Answer {
        http::exchange(&self.client, self.admin, request).await
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.ask_admin(http::get(path)).await
    }

    /// The value of a metric, whose labels are part of its name; zero when it is absent.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

/// The address that a URL names; one that nobody listens on for a unix socket or nothing.
fn address_of(url: Option<String>) -> SocketAddr {
    let url = url.unwrap_or_default().replace("localhost", "127.0.0.1");
    let address = url.strip_prefix("http://").map(|address| address.parse().expect("an address"));
    address.unwrap_or_else(|| ([127, 0, 0, 1], 1).into())
}

fn settings(sandbox: &Sandbox) -> app::Settings {
    let any_port = || Listen::Address(([127, 0, 0, 1], 0).into());
    app::Settings {
        listen: any_port(),
        admin_listen: Some(any_port()),
        credentials: credentials::Settings::Cognito(Box::new(Cognito {
            login: Login::UserPool(user_pool(sandbox)),
            identity_pool: identity_pool(sandbox),
        })),
        proxy: ProxySettings {
            guard: GuardSettings::default(),
            limits: Limits {
                max_body: 10 << 20,
                body_memory: 64 << 20,
                max_connections: 1024,
                max_in_flight: 256,
                max_tunnels: 256,
            },
            timeouts: Timeouts {
                // Not the program's 3 s, within which a busy machine may fail to make many connections.
                connect: Duration::from_secs(20),
                response: Duration::from_secs(60),
                idle: Duration::from_secs(310),
                drain: Duration::from_secs(25),
                websocket_idle: Duration::from_secs(660),
            },
            routes: vec![RouteSettings {
                path: "/".to_owned(),
                upstream: sandbox.api_url().parse().expect("a URL"),
                region: sandbox.region().into(),
                service: "execute-api".to_owned(),
                sign_host: None,
                strip_prefix: None,
                set_headers: Vec::new(),
                payload: PayloadSigning::Hashed,
                websocket_signing: WebsocketSigning::Headers,
            }],
            strip_headers: Vec::new(),
            ca_files: Vec::new(),
            forward_proxies: ForwardProxies::default(),
            resolver: Resolver::system(),
        },
        inspector: inspector::Settings::default(),
        aws_http: countersign::aws_http::Settings::default(),
        #[cfg(feature = "otlp")]
        spans: None,
        // As the program has it.
        threads: NonZeroUsize::new(2),
    }
}

fn user_pool(sandbox: &Sandbox) -> UserPool {
    UserPool {
        id: sandbox.user_pool_id().parse().expect("an id"),
        client_id: sandbox.client_id().to_owned(),
        client_secret: None,
        username: Some(sandbox.username().to_owned()),
        password: Some(sandbox.password().clone()),
        auth_flow: AuthFlow::Srp,
        totp_secret: None,
        endpoint: sandbox.user_pool_endpoint(),
        domain: None,
        redirect_port: 0,
        state_dir: None,
        login_provider: None,
    }
}

fn identity_pool(sandbox: &Sandbox) -> IdentityPool {
    IdentityPool {
        id: sandbox.identity_pool_id().parse().expect("an id"),
        endpoint: sandbox.identity_pool_endpoint(),
        role: RoleChoice::Pool,
    }
}

/// Changes how the user signs in.
pub(crate) fn with_user_pool(settings: &mut app::Settings, change: impl FnOnce(&mut UserPool)) {
    let credentials::Settings::Cognito(cognito) = &mut settings.credentials else { panic!("not Cognito") };
    let Login::UserPool(pool) = &mut cognito.login else { panic!("no user pool") };
    change(pool);
}
