//! An upstream that fails in every way a connection can, under load: each answer is right or an explicit
//! failure, and no request that may not run twice does.

#![cfg(feature = "sandbox")]

mod support;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use socket2::SockRef;
use support::{Setup, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const CLIENTS: u64 = 16;
const REQUESTS: u64 = 120;

/// What the upstream does with a request, chosen by its number so that a failure can be repeated.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer,
    /// Answers, and closes the connection as if it had been idle for too long.
    AnswerAndClose,
    /// Answers, and resets the connection.
    AnswerAndReset,
    Close,
    Reset,
    /// Half an answer, then the end.
    Truncate,
}

fn fate(number: u64) -> Fate {
    match number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
        0 | 1 => Fate::AnswerAndClose,
        2 => Fate::AnswerAndReset,
        3 => Fate::Close,
        4 => Fate::Reset,
        5 => Fate::Truncate,
        _ => Fate::Answer,
    }
}

/// Requests that were read whole, by id.
type Executed = Arc<Mutex<HashMap<String, u32>>>;

async fn upstream(executed: Executed) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let numbers = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, Arc::clone(&executed), Arc::clone(&numbers)));
        }
    });
    (address, tasks)
}

async fn serve(mut stream: TcpStream, executed: Executed, numbers: Arc<AtomicU64>) {
    let mut held = Vec::new();
    while let Some(id) = read_request(&mut stream, &mut held).await {
        *executed.lock().expect("not poisoned").entry(id.clone()).or_default() += 1;
        let body = format!("answer to {id}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let fate = fate(numbers.fetch_add(1, Ordering::SeqCst));
        let sent = match fate {
            Fate::Answer | Fate::AnswerAndClose | Fate::AnswerAndReset => answer.as_bytes(),
            Fate::Truncate => &answer.as_bytes()[..answer.len() - 5],
            Fate::Close | Fate::Reset => b"",
        };
        if stream.write_all(sent).await.is_err() {
            return;
        }
        match fate {
            Fate::Answer => {}
            Fate::AnswerAndReset | Fate::Reset => {
                // Without it the connection ends cleanly, another of the fates.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Fate::AnswerAndClose | Fate::Close | Fate::Truncate => return,
        }
    }
}

/// The id of the next request, whose body is that id too.
async fn read_request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&held[..end]).into_owned();
            let field = |name: &str| {
                head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
            };
            let length = field("content-length").map_or(0, |length| length.parse().expect("a number"));
            if held.len() >= end + 4 + length {
                held.drain(..end + 4 + length);
                return field("x-id");
            }
        }
        let mut piece = [0; 4_096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => held.extend(&piece[..read]),
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    right: u64,
    told: u64,
    cut: u64,
}

async fn client(address: SocketAddr, client: u64) -> Tally {
    let sender: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut tally = Tally::default();
    for number in 0..REQUESTS {
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        let id = format!("{method}-{client}-{number}");
        let body = if method == "POST" { Bytes::from(id.clone()) } else { Bytes::new() };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}/{id}"))
            .header("x-id", &id)
            .body(Full::new(body))
            .expect("a request");
        let answer = sender.request(request).await.expect("an answer, right or not");
        let (parts, body) = answer.into_parts();
        match (parts.status.as_u16(), body.collect().await) {
            (200, Ok(body)) => {
                assert_eq!(body.to_bytes(), format!("answer to {id}"));
                tally.right += 1;
            }
            (200, Err(_)) => tally.cut += 1,
            (status, body) => {
                assert!(matches!(status, 502 | 504), "{status} to {id}");
                assert!(parts.headers["proxy-status"].to_str().expect("ASCII").contains("error="));
                body.expect("a whole problem");
                tally.told += 1;
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_upstream_corrupts_no_answer_and_runs_no_post_twice() {
    let executed = Executed::default();
    let (upstream, _upstream) = upstream(Arc::clone(&executed)).await;
    let running = Setup::new().upstream(format!("http://{upstream}")).start().await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(running.proxy.address, number));
    }
    let mut total = Tally::default();
    while let Some(tally) = soon("every answer", clients.join_next()).await {
        let tally = tally.expect("no wrong answer");
        total.right += tally.right;
        total.told += tally.told;
        total.cut += tally.cut;
    }
    println!("{total:?}");
    assert_eq!(total.right + total.told + total.cut, CLIENTS * REQUESTS);
    // Of sixteen fates ten answer whole, and most of the failures are told or cut, not hidden.
    assert!(total.right > CLIENTS * REQUESTS / 2 && total.told > 0 && total.cut > 0, "{total:?}");
    let executed = executed.lock().expect("not poisoned");
    let twice: Vec<_> = executed.iter().filter(|(id, runs)| id.starts_with("POST") && **runs > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
