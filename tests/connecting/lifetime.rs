//! Connections that are used all the time.

use std::time::Duration;

use tokio::time;

use super::support::{
    Running, Setup,
    tls::{Authority, TlsUpstream},
    upstream::{FINE, Upstream},
};

/// Asks every ten seconds for so many minutes, which are over at once.
async fn ask_for_minutes(running: &Running, minutes: u64) {
    for _ in 0..minutes * 6 {
        // Only while nothing is under way, so that nothing times out.
        time::pause();
        time::advance(Duration::from_secs(10)).await;
        time::resume();
        assert_eq!(running.proxy.get("/x").await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_in_constant_use_is_replaced_after_eight_to_twelve_minutes() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    ask_for_minutes(&running, 7).await;
    assert_eq!(upstream.connections(), 1);
    ask_for_minutes(&running, 6).await;
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_shared_connection_in_constant_use_is_replaced_as_well() {
    let authority = Authority::new();
    let plain = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await;
    let upstream = TlsUpstream::start(&authority, &["h2"], &plain.url()).await;
    let roots = authority.file();
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(move |settings| settings.proxy.ca_files = vec![roots])
        .start()
        .await;
    ask_for_minutes(&running, 7).await;
    assert_eq!(upstream.connections(), 1);
    ask_for_minutes(&running, 6).await;
    assert_eq!(upstream.connections(), 2);
}
