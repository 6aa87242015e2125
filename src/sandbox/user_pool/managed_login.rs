//! Managed login: the pages where users sign in and sign up, and the OAuth endpoints behind them.

mod authorization;
mod browser_sessions;
mod challenges;
mod codes;
mod form_pages;
mod forms;
mod logout;
mod page;
mod token_endpoint;
mod user_info;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;

use super::UserPool;
use crate::sandbox::{
    answer::{Body, Form},
    json_protocol::read_body,
    paced::Hangup,
    percent::Pairs,
};
pub(super) use browser_sessions::BrowserSessions;
pub(super) use codes::AuthorizationCodes;

/// A request to one of the pages.
struct PageRequest<'a> {
    headers: &'a HeaderMap,
    /// The authorisation request, which every page passes on.
    query: &'a Pairs,
    /// The fields of the form that was sent.
    form: &'a Pairs,
}

impl UserPool {
    /// The name by which calls of a path of managed login are counted; `None` for other paths.
    pub(super) fn managed_login_operation(request: &Request<Incoming>) -> Option<&'static str> {
        let name = match request.uri().path() {
            "/oauth2/authorize" => "oauth2/authorize",
            "/oauth2/token" => "oauth2/token",
            "/oauth2/revoke" => "oauth2/revoke",
            "/oauth2/userInfo" => "oauth2/userInfo",
            "/login" => "login",
            "/mfa" => "mfa",
            "/signup" => "signup",
            "/confirmUser" => "confirmUser",
            "/resendcode" => "resendcode",
            "/forgotPassword" => "forgotPassword",
            "/confirmForgotPassword" => "confirmForgotPassword",
            "/logout" => "logout",
            _ => return None,
        };
        let (read, sent) = (request.method() == Method::GET, request.method() == Method::POST);
        let accepted = match name {
            "oauth2/authorize" | "logout" => read,
            "oauth2/userInfo" | "login" | "signup" | "forgotPassword" => read || sent,
            _ => sent,
        };
        accepted.then_some(name)
    }

    pub(super) async fn managed_login(
        &self,
        operation: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Hangup> {
        self.calls.add(operation);
        if let Some(disturbed) = Form::OAuth.disturbed(&self.faults, operation).await? {
            return Ok(disturbed);
        }
        let sent = request.method() == Method::POST;
        let query = Pairs::parse(request.uri().query().unwrap_or_default());
        let headers = request.headers().clone();
        let body = read_body(request).await?;
        let form = Pairs::parse(&String::from_utf8_lossy(&body));
        let page = PageRequest { headers: &headers, query: &query, form: &form };
        Ok(match operation {
            "oauth2/authorize" => self.authorize(&page),
            "oauth2/token" => oauth_answer(self.token(&headers, &form).await),
            "oauth2/revoke" => oauth_answer(self.revoke(&headers, &form)),
            "oauth2/userInfo" => self.user_info(&headers),
            "logout" => self.log_out(&page),
            "forgotPassword" if sent => self.forgot_password_by_form(&page),
            "resendcode" => self.resend_by_form(&page),
            form if sent => self.answer_form(form, &page).await,
            page_name => self.empty_form(page_name, &page),
        })
    }
}

fn oauth_answer(answered: Result<Response<Body>, crate::sandbox::answer::AwsError>) -> Response<Body> {
    answered.unwrap_or_else(|error| Form::OAuth.error(&error))
}
