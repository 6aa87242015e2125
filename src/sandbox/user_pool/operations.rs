//! The operations of cognito-idp by name, each with the members that it requires.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{UserPool, profile::WithAccessToken, request::read};
use crate::sandbox::{answer::AwsError, json_protocol};

const TOKEN: [&str; 1] = ["AccessToken"];
const CLIENT_USER: [&str; 2] = ["ClientId", "Username"];
const POOL_USER: [&str; 2] = ["UserPoolId", "Username"];

impl UserPool {
    pub(super) async fn perform(&self, operation: &str, body: &[u8]) -> Result<Value, AwsError> {
        if let Some(answer) = self.triggering_operation(operation, body).await? {
            return Ok(answer);
        }
        self.client_operation(operation, body)
            .or_else(|| self.user_operation(operation, body))
            .or_else(|| self.factor_operation(operation, body))
            .or_else(|| self.administrator_operation(operation, body))
            .or_else(|| self.group_operation(operation, body))
            .unwrap_or_else(|| Err(json_protocol::unknown_operation()))
    }

    /// Operations that may call triggers; `None` for the others.
    async fn triggering_operation(&self, operation: &str, body: &[u8]) -> Result<Option<Value>, AwsError> {
        let answered = match operation {
            "InitiateAuth" => self.initiate_auth(&read(body, &["AuthFlow", "ClientId"])?).await,
            "RespondToAuthChallenge" => {
                self.respond_to_auth_challenge(&read(body, &["ClientId", "ChallengeName"])?).await
            }
            "GetTokensFromRefreshToken" => {
                self.get_tokens_from_refresh_token(&read(body, &["RefreshToken", "ClientId"])?).await
            }
            "SignUp" => self.sign_up(&read(body, &CLIENT_USER)?).await,
            "ConfirmSignUp" => {
                let required = ["ClientId", "Username", "ConfirmationCode"];
                self.confirm_sign_up(&read(body, &required)?).await
            }
            "ConfirmForgotPassword" => {
                let required = ["ClientId", "Username", "ConfirmationCode", "Password"];
                self.confirm_forgot_password(&read(body, &required)?).await
            }
            "AdminInitiateAuth" => {
                self.admin_initiate_auth(&read(body, &["UserPoolId", "ClientId", "AuthFlow"])?).await
            }
            "AdminRespondToAuthChallenge" => {
                let required = ["UserPoolId", "ClientId", "ChallengeName"];
                self.respond_to_auth_challenge(&read(body, &required)?).await
            }
            "AdminCreateUser" => self.admin_create_user(&read(body, &POOL_USER)?).await,
            "AdminConfirmSignUp" => self.admin_confirm_sign_up(&read(body, &POOL_USER)?).await,
            _ => return Ok(None),
        };
        answered.map(Some)
    }

    /// Operations that name an app client, take no access token and call no trigger.
    fn client_operation(&self, operation: &str, body: &[u8]) -> Option<Result<Value, AwsError>> {
        Some(match operation {
            "RevokeToken" => run(body, &["Token", "ClientId"], |request| self.revoke_token(request)),
            "ResendConfirmationCode" => {
                run(body, &CLIENT_USER, |request| self.resend_confirmation_code(request))
            }
            "ForgotPassword" => run(body, &CLIENT_USER, |request| self.forgot_password(request)),
            _ => return None,
        })
    }

    /// Operations of a signed-in user on the account.
    fn user_operation(&self, operation: &str, body: &[u8]) -> Option<Result<Value, AwsError>> {
        Some(match operation {
            "GetUser" => run(body, &TOKEN, |request| self.get_user(request)),
            "DeleteUser" => run(body, &TOKEN, |request| self.delete_user(request)),
            "GlobalSignOut" => run(body, &TOKEN, |request| self.global_sign_out(request)),
            "ChangePassword" => {
                let required = ["ProposedPassword", "AccessToken"];
                run(body, &required, |request| self.change_password(request))
            }
            "UpdateUserAttributes" => {
                let required = ["UserAttributes", "AccessToken"];
                run(body, &required, |request| self.update_user_attributes(request))
            }
            "DeleteUserAttributes" => {
                let required = ["UserAttributeNames", "AccessToken"];
                run(body, &required, |request| self.delete_user_attributes(request))
            }
            "GetUserAttributeVerificationCode" => {
                let required = ["AccessToken", "AttributeName"];
                run(body, &required, |request| self.get_user_attribute_verification_code(request))
            }
            "VerifyUserAttribute" => {
                let required = ["AccessToken", "AttributeName", "Code"];
                run(body, &required, |request| self.verify_user_attribute(request))
            }
            _ => return None,
        })
    }

    /// Operations on the second factors and devices of a user.
    fn factor_operation(&self, operation: &str, body: &[u8]) -> Option<Result<Value, AwsError>> {
        let device = ["DeviceKey"];
        let own_device = ["AccessToken", "DeviceKey"];
        Some(match operation {
            "GetUserAuthFactors" => run(body, &TOKEN, |request| self.get_user_auth_factors(request)),
            "SetUserMFAPreference" => run(body, &TOKEN, |request| self.set_user_mfa_preference(request)),
            "AssociateSoftwareToken" => run(body, &[], |request| self.associate_software_token(request)),
            "VerifySoftwareToken" => run(body, &["UserCode"], |request| self.verify_software_token(request)),
            "ConfirmDevice" => run(body, &own_device, |request| self.confirm_device(request)),
            "ListDevices" => run(body, &TOKEN, |request| self.list_devices(request)),
            "GetDevice" => run(body, &device, |request| self.get_device(request)),
            "ForgetDevice" => run(body, &device, |request| self.forget_device(request)),
            "UpdateDeviceStatus" => run(body, &own_device, |request| self.update_device_status(request)),
            "StartWebAuthnRegistration" => {
                run(body, &TOKEN, |request| self.refuse_passkeys(operation, request))
            }
            "CompleteWebAuthnRegistration" => {
                let required = ["AccessToken", "Credential"];
                run(body, &required, |request| self.refuse_passkeys(operation, request))
            }
            "ListWebAuthnCredentials" => run(body, &TOKEN, |request: &WithAccessToken| {
                self.authorized(&request.access_token).map(|_| json!({ "Credentials": [] }))
            }),
            "DeleteWebAuthnCredential" => {
                run(body, &["AccessToken", "CredentialId"], |request: &WithAccessToken| {
                    self.authorized(&request.access_token)?;
                    Err(AwsError::not_found("The credential does not exist."))
                })
            }
            _ => return None,
        })
    }

    fn administrator_operation(&self, operation: &str, body: &[u8]) -> Option<Result<Value, AwsError>> {
        Some(match operation {
            "AdminSetUserPassword" => {
                let required = ["UserPoolId", "Username", "Password"];
                run(body, &required, |request| self.admin_set_user_password(request))
            }
            "AdminUpdateUserAttributes" => {
                let required = ["UserPoolId", "Username", "UserAttributes"];
                run(body, &required, |request| self.admin_update_user_attributes(request))
            }
            "AdminGetUser" => run(body, &POOL_USER, |request| self.admin_get_user(request)),
            "AdminResetUserPassword" => {
                run(body, &POOL_USER, |request| self.admin_reset_user_password(request))
            }
            "AdminUserGlobalSignOut" => {
                run(body, &POOL_USER, |request| self.admin_user_global_sign_out(request))
            }
            "AdminDisableUser" => run(body, &POOL_USER, |request| self.set_enabled(request, false)),
            "AdminEnableUser" => run(body, &POOL_USER, |request| self.set_enabled(request, true)),
            "AdminDeleteUser" => run(body, &POOL_USER, |request| self.admin_delete_user(request)),
            "ListUsers" => run(body, &["UserPoolId"], |request| self.list_users(request)),
            _ => return None,
        })
    }

    fn group_operation(&self, operation: &str, body: &[u8]) -> Option<Result<Value, AwsError>> {
        let group = ["UserPoolId", "Username", "GroupName"];
        Some(match operation {
            "CreateGroup" => run(body, &["UserPoolId", "GroupName"], |request| self.create_group(request)),
            "AdminAddUserToGroup" => run(body, &group, |request| self.admin_add_user_to_group(request)),
            "AdminRemoveUserFromGroup" => {
                run(body, &group, |request| self.admin_remove_user_from_group(request))
            }
            "AdminListGroupsForUser" => {
                run(body, &POOL_USER, |request| self.admin_list_groups_for_user(request))
            }
            _ => return None,
        })
    }

    fn refuse_passkeys(&self, operation: &str, request: &WithAccessToken) -> Result<Value, AwsError> {
        self.authorized(&request.access_token)?;
        let message = format!("The sandbox does not support {operation}: it keeps no passkeys.");
        Err(AwsError::new("WebAuthnNotEnabledException", message))
    }
}

fn run<T: DeserializeOwned>(
    body: &[u8],
    required: &[&str],
    operation: impl FnOnce(&T) -> Result<Value, AwsError>,
) -> Result<Value, AwsError> {
    operation(&read(body, required)?)
}
