import { UserManager } from 'oidc-client-ts';

const clientId = process.env.NEXT_PUBLIC_USER_POOL_CLIENT_ID;
let manager;

/** The sessions of this page; only a browser has the storage that they need. */
export function sessions() {
  manager ??= new UserManager({
    authority: process.env.NEXT_PUBLIC_USER_POOL_ISSUER,
    client_id: clientId,
    redirect_uri: `${window.location.origin}/callback`,
    scope: 'openid email',
    loadUserInfo: true,
    automaticSilentRenew: false,
  });
  return manager;
}

/** Ends the session at the user pool, which wants the parameters of Cognito rather than those of OpenID Connect. */
export async function signOut() {
  await sessions().removeUser();
  await sessions().signoutRedirect({
    extraQueryParams: { client_id: clientId, logout_uri: `${window.location.origin}/` },
  });
}
