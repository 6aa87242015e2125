//! Name lookups that fail or hang.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use countersign::{aws_http, clock::Clock, proxy::Resolver};
use tokio::task::JoinSet;

use super::{
    problem,
    support::{
        Running, Setup, soon,
        upstream::{FINE, Upstream},
    },
};

/// A proxy with routes to names of which one hangs, and how often that one was looked up. It hangs until the sender
/// goes away.
async fn with_a_hanging_name(upstream: &Upstream) -> (Running, Arc<AtomicUsize>, Sender<()>) {
    let port: u16 = upstream.url().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let (release, hanging) = channel::<()>();
    let (hanging, lookups) = (Mutex::new(hanging), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&lookups);
    let running = Setup::new()
        .proxy(move |settings| {
            // As the program has it: requests are served by threads of their own.
            settings.threads = NonZeroUsize::new(2);
            settings.proxy.timeouts.connect = Duration::from_millis(1_500);
            let route = settings.proxy.routes.remove(0);
            for (path, host) in [("/hangs", "hangs.test"), ("/works", "works.test"), ("/local", "localhost")]
            {
                let mut route = route.clone();
                path.clone_into(&mut route.path);
                route.upstream = format!("http://{host}:{port}").parse().expect("a URL");
                settings.proxy.routes.push(route);
            }
            settings.proxy.resolver = Resolver::new(move |name| match name {
                "hangs.test" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // Ends when the sender is dropped.
                    let _ = hanging.lock().expect("a lock").recv();
                    Err(io::Error::other("late"))
                }
                "works.test" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                other => Err(io::Error::other(format!("{other} was looked up"))),
            });
        })
        .start()
        .await;
    (running, lookups, release)
}

#[tokio::test]
async fn a_hanging_lookup_stalls_no_other_name() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write(FINE).await;
    })
    .await;
    let (running, lookups, _release) = with_a_hanging_name(&upstream).await;
    let mut stuck = JoinSet::new();
    for _ in 0..40 {
        let mut connection = running.proxy.connect().await;
        stuck.spawn(async move {
            connection.write("GET /hangs HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            connection.answer().await.0.status
        });
    }
    while lookups.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for path in ["/works", "/local", "/works", "/local"] {
        let answer = soon("an answer", running.proxy.get(path)).await;
        assert_eq!(answer.text(), "fine", "{path}");
    }
    for status in stuck.join_all().await {
        assert_eq!(status, 504);
    }
    assert_eq!(lookups.load(Ordering::SeqCst), 1, "all wait for the same lookup");
}

#[tokio::test]
async fn a_hanging_lookup_of_an_aws_name_stalls_neither_others_nor_shutdown() {
    let upstream = Upstream::saying(FINE).await;
    let port = upstream.url().rsplit_once(':').expect("a port").1.to_owned();
    let (release, hanging) = channel::<()>();
    let (hanging, lookups) = (Mutex::new(hanging), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&lookups);
    let resolver = Resolver::new(move |name| match name {
        "hangs.test" => {
            counted.fetch_add(1, Ordering::SeqCst);
            // Ends when the sender is dropped.
            let _ = hanging.lock().expect("a lock").recv();
            Err(io::Error::other("late"))
        }
        name => {
            assert_eq!(name, "works.test");
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
        }
    });
    let settings = aws_http::Settings { resolver, ..aws_http::Settings::default() };
    let connector = aws_http::connector(&settings, Clock::system()).expect("roots");
    let ask = |name: &str| connector.call(HttpRequest::get(format!("http://{name}:{port}/")).expect("a URL"));
    let mut stuck = JoinSet::new();
    for _ in 0..5 {
        stuck.spawn(ask("hangs.test"));
    }
    while lookups.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let answer = soon("an answer", ask("works.test")).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    stuck.shutdown().await;
    assert_eq!(lookups.load(Ordering::SeqCst), 1, "all waited for the same lookup");
    drop(release);
}

#[tokio::test]
async fn an_answer_says_that_the_lookup_did_not_end() {
    let upstream = Upstream::saying(FINE).await;
    let (running, _, _release) = with_a_hanging_name(&upstream).await;
    let answer = running.proxy.get("/hangs").await;
    assert_eq!(answer.problem(), problem(504, "upstream-timeout", "connection_timeout"));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("lookup of its host name did not end"), "{detail}");
}

#[tokio::test]
async fn a_name_that_moves_is_followed_by_the_next_connection() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write(FINE).await;
    })
    .await;
    let port: u16 = upstream.url().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let lookups = AtomicUsize::new(0);
    let running = Setup::new()
        .upstream(format!("http://moves.test:{port}"))
        .proxy(|settings| {
            settings.proxy.resolver = Resolver::new(move |_| {
                // The first address refuses connections.
                let last = if lookups.fetch_add(1, Ordering::SeqCst) == 0 { 9 } else { 1 };
                Ok(vec![Ipv4Addr::new(127, 0, 0, last).into()])
            });
        })
        .start()
        .await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
}
