// What amazon-cognito-identity-js does, as promises. The page's tests call it as `account`.
import { AuthenticationDetails, CognitoUser, CognitoUserAttribute, CognitoUserPool } from 'amazon-cognito-identity-js';
import awsExports from './aws-exports.js';

const { userPoolId, userPoolClientId, userPoolEndpoint } = awsExports.Auth.Cognito;
const pool = new CognitoUserPool({ UserPoolId: userPoolId, ClientId: userPoolClientId, endpoint: userPoolEndpoint });
let user;

const called = (call) =>
  new Promise((resolve, reject) => call((error, answer) => (error ? reject(error) : resolve(answer))));
const answered = (call) =>
  new Promise((resolve, reject) => {
    call({
      onSuccess: resolve,
      onFailure: reject,
      inputVerificationCode: (details) => resolve(details.CodeDeliveryDetails.Destination),
      totpRequired: (challenge) => resolve(challenge),
      associateSecretCode: resolve,
    });
  });

window.account = {
  async signUp(username, password, email) {
    const attributes = [new CognitoUserAttribute({ Name: 'email', Value: email })];
    const answer = await called((done) => pool.signUp(username, password, attributes, null, done));
    user = answer.user;
    return answer.codeDeliveryDetails.Destination;
  },
  confirm: (code) => called((done) => user.confirmRegistration(code, false, done)),
  async signIn(username, password) {
    user = new CognitoUser({ Username: username, Pool: pool });
    const details = new AuthenticationDetails({ Username: username, Password: password });
    const outcome = await answered((callbacks) => user.authenticateUser(details, callbacks));
    return typeof outcome === 'string' ? outcome : outcome.getIdToken().payload.email;
  },
  async sendCode(code) {
    const session = await answered((callbacks) => user.sendMFACode(code, callbacks, 'SOFTWARE_TOKEN_MFA'));
    return session.getIdToken().payload['cognito:username'];
  },
  secret: () => answered((callbacks) => user.associateSoftwareToken(callbacks)),
  async verify(code) {
    await answered((callbacks) => user.verifySoftwareToken(code, 'telephone', callbacks));
    await called((done) => user.setUserMfaPreference(null, { Enabled: true, PreferredMfa: true }, done));
    return (await called((done) => user.getUserData(done, { bypassCache: true }))).PreferredMfaSetting;
  },
  changePassword: (from, to) => called((done) => user.changePassword(from, to, done)),
  async refresh() {
    const session = await called((done) => user.getSession(done));
    const next = await called((done) => user.refreshSession(session.getRefreshToken(), done));
    return next.getIdToken().payload.iat >= session.getIdToken().payload.iat;
  },
  forgotPassword(username) {
    user = new CognitoUser({ Username: username, Pool: pool });
    return answered((callbacks) => user.forgotPassword(callbacks));
  },
  resetPassword: (code, password) => answered((callbacks) => user.confirmPassword(code, password, callbacks)),
  signOut: () => called((done) => user.globalSignOut({ onSuccess: () => done(null), onFailure: done })),
  delete: () => called((done) => user.deleteUser(done)),

  /** The claims that the API's authoriser took from the user's token. */
  async ownClaims() {
    const session = await called((done) => user.getSession(done));
    const headers = { authorization: session.getIdToken().getJwtToken() };
    const response = await fetch(`${awsExports.API.REST.sandbox.endpoint}/me`, { headers });
    return (await response.json()).requestContext.authorizer.claims.email;
  },
  /** The status of a call without a signature to the proxy, from this other origin. */
  async unsigned(proxy) {
    const response = await fetch(`${proxy}/notes`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: 'grüße' }),
    });
    return `${response.status} ${(await response.json()).body}`;
  },
};
