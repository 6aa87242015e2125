//! The cases of `http_desync_guardian`: requests whose end two servers may see in different places.
//!
//! They come from that crate's own package, as cargo has unpacked it; none is copied here.
#![cfg(feature = "sandbox")]

mod corpus;
#[path = "../support/mod.rs"]
mod support;

use corpus::{Case, Tier};
use support::{Connection, PATIENCE, Running, Setup};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The names and origins of the cases are allowed: who asks is not what they are about.
async fn start(cases: &[Case]) -> Running {
    let hosts: Vec<String> = cases.iter().flat_map(|case| case.values("host")).collect();
    let origins = cases.iter().flat_map(Case::origins).collect();
    Setup::new()
        .proxy(move |settings| {
            settings.proxy.guard.allowed_hosts = hosts;
            settings.proxy.guard.allowed_origins = origins;
        })
        .start()
        .await
}

async fn ask(running: &Running, case: &Case, behind: &str) -> Connection {
    let mut connection = running.proxy.connect().await;
    connection.write([case.head(), behind.into()].concat()).await;
    connection
}

#[tokio::test]
async fn severe_and_ambiguous_requests_are_refused_and_nothing_behind_them_is_a_request() {
    let cases: Vec<Case> = corpus::load();
    let running = start(&cases).await;
    let mut wrong = Vec::new();
    let dangerous = |case: &&Case| matches!(case.tier, Tier::Severe | Tier::Ambiguous) && !case.is_search();
    let dangerous = cases.iter().filter(dangerous);
    let mut count = 0;
    for case in dangerous {
        count += 1;
        let mut connection = ask(&running, case, SMUGGLED).await;
        let answer = connection.try_head().await;
        let refused = answer.as_ref().is_some_and(|head| {
            let ours = head.field("proxy-status") == Some("countersign; error=http_request_error");
            matches!(head.status, 400..=499 | 501) && ours
        });
        let rest = match &answer {
            Some(_) if refused && case.is_head() => connection.rest_within(PATIENCE).await,
            Some(head) if refused => {
                connection.body(head).await;
                connection.rest_within(PATIENCE).await
            }
            _ => None,
        };
        if rest.is_none_or(|rest| !rest.is_empty()) {
            wrong.push(format!(
                "{:?} {}: {answer:?}\n{}",
                case.tier,
                case.name,
                String::from_utf8_lossy(&case.head())
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(count, 111);
    assert!(running.sandbox.requests().is_empty());
}

#[tokio::test]
async fn compliant_requests_pass_but_for_codings_and_targets_that_are_not_understood() {
    let cases: Vec<Case> = corpus::load();
    let running = start(&cases).await;
    let mut wrong = Vec::new();
    let compliant: Vec<&Case> = cases.iter().filter(|case| case.tier == Tier::Compliant).collect();
    for case in &compliant {
        let mut connection = ask(&running, case, &case.body()).await;
        let head = connection.head().await;
        if head.status != case.answer_by_contract() {
            wrong.push(format!("{}: {head:?}\n{}", case.name, String::from_utf8_lossy(&case.head())));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), compliant.len(), wrong.join("\n"));
    assert_eq!((compliant.len(), running.sandbox.requests().len()), (28, 19));
}
