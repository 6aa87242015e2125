// Signs in with amazon-cognito-identity-js, refreshes the session, and prints the ID token's claims.
// Arguments: endpoint, user pool id, client id, user name, password.

import { createRequire } from 'node:module';

// The library is installed elsewhere, where NODE_PATH says.
const require = createRequire(import.meta.url);
const { AuthenticationDetails, CognitoUser, CognitoUserPool } = require('amazon-cognito-identity-js');

const [endpoint, UserPoolId, ClientId, Username, Password] = process.argv.slice(2);

function signIn(user) {
  return new Promise((resolve, reject) => {
    user.authenticateUser(new AuthenticationDetails({ Username, Password }), {
      onSuccess: resolve,
      onFailure: reject,
      newPasswordRequired: () => reject(new Error('a new password is asked for')),
      mfaRequired: () => reject(new Error('a code is asked for')),
    });
  });
}

function refresh(user, session) {
  return new Promise((resolve, reject) => {
    user.refreshSession(session.getRefreshToken(), (error, renewed) => (error ? reject(error) : resolve(renewed)));
  });
}

const Pool = new CognitoUserPool({ UserPoolId, ClientId, endpoint: `${endpoint}/` });
const user = new CognitoUser({ Username, Pool });
try {
  const session = await signIn(user);
  const renewed = await refresh(user, session);
  console.log(JSON.stringify(renewed.getIdToken().decodePayload()));
} catch (error) {
  console.error(`${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
}
