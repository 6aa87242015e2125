//! Where a request goes: its route, and the bucket that an S3 client names in the host.

use std::{borrow::Cow, ptr};

use http::HeaderValue;

use super::{
    bucket_host::{Addressing, BucketHost, leads_out_of_bucket},
    route::{Mount, Route, Routes, strip},
};
use crate::{
    proxy::error::ProxyError,
    signing::{TargetBuffer, TargetError, WireTarget},
};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Destination<'a, 'h> {
    pub(in crate::proxy) route: &'a Route,
    /// The bucket that the client names in the host and the upstream wants in the path.
    pub(in crate::proxy) bucket: Option<&'h str>,
}

impl Destination<'_, '_> {
    /// The target at the upstream for a client's raw path and query, in the memory of `buffer`.
    pub(in crate::proxy) fn target(
        &self,
        buffer: &TargetBuffer,
        path: &str,
        query: Option<&str>,
    ) -> Result<WireTarget, TargetError> {
        let Mount { base, prefix, .. } = &*self.mount();
        let rest = strip(path, prefix).unwrap_or(path);
        let rest = if rest.is_empty() { "/" } else { rest };
        let encoding = self.route.scope().encoding();
        WireTarget::new_in(buffer, base, rest.as_bytes(), query.map(str::as_bytes), encoding)
    }

    /// How the URLs of the upstream and of the client correspond.
    pub(in crate::proxy) fn mount(&self) -> Cow<'_, Mount> {
        let mount = &self.route.mount;
        match self.bucket {
            None => Cow::Borrowed(mount),
            Some(bucket) => Cow::Owned(Mount { base: format!("{}/{bucket}", mount.base), ..mount.clone() }),
        }
    }
}

impl Routes {
    /// Where a request goes: to the route whose path is the longest prefix of `path`, by whole segments. Where `host`
    /// may name a bucket, the path is the rest of one, and both have to lead to one route.
    pub(in crate::proxy) fn destination<'a, 'h>(
        &'a self,
        path: &str,
        host: Option<&'h HeaderValue>,
    ) -> Result<Destination<'a, 'h>, ProxyError> {
        let plain = self.select(path).map(|route| Destination { route, bucket: None });
        match host.filter(|_| self.has_buckets).and_then(|host| BucketHost::of(host, &self.own_names)) {
            Some(host) => self.destination_of_bucket(path, host, plain),
            None => plain.ok_or(ProxyError::NoRoute),
        }
    }

    fn destination_of_bucket<'a, 'h>(
        &'a self,
        path: &str,
        host: BucketHost<'h>,
        plain: Option<Destination<'a, 'h>>,
    ) -> Result<Destination<'a, 'h>, ProxyError> {
        let plain_elsewhere = plain.filter(|plain| plain.route.buckets.is_none());
        if !host.can_be_bucket() {
            return match (plain_elsewhere, plain) {
                (Some(plain), _) => Ok(plain),
                (None, Some(_)) => Err(host.not_a_bucket().into()),
                (None, None) => Err(ProxyError::NoRoute),
            };
        }
        let mut meant = self.routes.iter().filter(|route| self.is_meant(route, path, &host));
        match (meant.next(), meant.next(), plain_elsewhere) {
            (Some(route), None, None) => {
                let segment = route.buckets.as_ref().map(|buckets| buckets.segment(&host)).transpose()?;
                let bucket = segment.flatten();
                let rest = strip(path, &route.mount.prefix).unwrap_or(path);
                if bucket.is_some() && leads_out_of_bucket(rest) {
                    return Err(host.dot_segments().into());
                }
                Ok(Destination { route, bucket })
            }
            (None, None, Some(plain)) => Ok(plain),
            (None, None, None) if plain.is_none() => Err(ProxyError::NoRoute),
            _ => Err(host.several_routes().into()),
        }
    }

    /// Whether `route` is the one that the client's SDK would reach if it sent the same request in path style.
    fn is_meant(&self, route: &Route, path: &str, host: &BucketHost<'_>) -> bool {
        let Some(addressing) = &route.buckets else { return false };
        let selected = match addressing {
            Addressing::Path => {
                path_style(route, path, host.bucket).and_then(|path_style| self.select(&path_style))
            }
            _ => self.select(path),
        };
        selected.is_some_and(|selected| ptr::eq(selected, route))
    }
}

/// The path at this proxy that names `bucket` in front of the rest of `path`.
fn path_style(route: &Route, path: &str, bucket: &str) -> Option<String> {
    let rest = strip(path, &route.mount.prefix)?;
    Some(format!("{}/{bucket}{rest}", route.mount.prefix))
}
