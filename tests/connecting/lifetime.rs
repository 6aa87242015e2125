//! Connections that are used all the time.

use super::support::{
    Setup,
    tls::{Authority, TlsUpstream},
    upstream::{FINE, Upstream},
};

#[tokio::test]
async fn a_connection_in_constant_use_is_replaced_after_eight_to_twelve_minutes() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await;
    let running = Setup::new().in_one_runtime().upstream(upstream.url()).start().await;
    running.proxy.ask_for_minutes(7).await;
    assert_eq!(upstream.connections(), 1);
    running.proxy.ask_for_minutes(6).await;
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
    let running = Setup::new().in_one_runtime().upstream(upstream.url()).trusting(&authority).start().await;
    running.proxy.ask_for_minutes(7).await;
    assert_eq!(upstream.connections(), 1);
    running.proxy.ask_for_minutes(6).await;
    assert_eq!(upstream.connections(), 2);
}
