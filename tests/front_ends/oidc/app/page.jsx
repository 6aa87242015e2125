'use client';

import { useEffect, useState } from 'react';
import { sessions, signOut } from './session.js';

export default function Home() {
  const [user, setUser] = useState();
  const [said, setSaid] = useState('');
  useEffect(() => {
    sessions().getUser().then(setUser);
  }, []);
  const report = (action) => async () => setSaid(await action().catch((error) => `${error.name}: ${error.message}`));

  const renew = report(async () => {
    const renewed = await sessions().signinSilent();
    return `renewed: ${renewed.access_token !== user.access_token} ${renewed.profile.email}`;
  });
  const userInfo = report(async () => {
    const endpoint = await sessions().metadataService.getUserInfoEndpoint();
    const response = await fetch(endpoint, { headers: { authorization: `Bearer ${user.access_token}` } });
    return `userInfo: ${response.status} ${(await response.json()).username}`;
  });
  const revoke = report(async () => {
    const endpoint = await sessions().metadataService.getTokenEndpoint();
    await sessions().revokeTokens(['refresh_token']);
    // oidc-client-ts has forgotten the token by now.
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: sessions().settings.client_id,
      refresh_token: user.refresh_token,
    });
    const response = await fetch(endpoint, { method: 'POST', body });
    return `revoked: ${response.status} ${(await response.json()).error}`;
  });

  if (user === undefined) return <p>…</p>;
  if (user === null) return <button onClick={() => sessions().signinRedirect()}>Sign in</button>;
  return (
    <main>
      <h1>{user.profile.email}</h1>
      <button onClick={renew}>Renew</button>
      <button onClick={userInfo}>User info</button>
      <button onClick={revoke}>Revoke</button>
      <button onClick={report(signOut)}>Sign out</button>
      <output id="said">{said}</output>
    </main>
  );
}
