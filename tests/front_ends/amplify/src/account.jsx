// What a signed-in user can do.
import { AccountSettings } from '@aws-amplify/ui-react';
import { get, post } from 'aws-amplify/api';
import { fetchUserAttributes, setUpTOTP, updateMFAPreference, verifyTOTPSetup } from 'aws-amplify/auth';
import { useState } from 'react';

export function Account({ user, signOut }) {
  const [secret, setSecret] = useState('');
  const [code, setCode] = useState('');
  const [said, setSaid] = useState('');
  const report = (action) => async () => {
    setSaid('');
    try {
      setSaid(await action());
    } catch (error) {
      setSaid(`${error.name}: ${error.message}`);
    }
  };

  const authenticator = report(async () => {
    setSecret((await setUpTOTP()).sharedSecret);
    return 'authenticator: enter its code';
  });
  const verify = report(async () => {
    await verifyTOTPSetup({ code });
    await updateMFAPreference({ totp: 'PREFERRED' });
    return 'authenticator: set up';
  });
  const attributes = report(async () => `attributes: ${JSON.stringify(await fetchUserAttributes())}`);
  const signed = report(async () => {
    const read = await get({ apiName: 'sandbox', path: '/notes?tag=a b' }).response;
    const event = await read.body.json();
    const written = await post({ apiName: 'sandbox', path: '/notes', options: { body: { text: 'grüße' } } }).response;
    const { body } = await written.body.json();
    return `signed: ${read.statusCode} ${event.requestContext.identity.cognitoIdentityId} ${body}`;
  });
  const unsigned = report(async () => {
    const response = await fetch('/api/notes');
    const event = await response.json();
    return `unsigned: ${response.status} ${event.requestContext.identity.cognitoIdentityId}`;
  });

  return (
    <main>
      <h1>{user.username}</h1>
      <button onClick={attributes}>Attributes</button>
      <button onClick={authenticator}>Authenticator</button>
      <output id="secret">{secret}</output>
      <input id="code" value={code} onChange={(event) => setCode(event.target.value)} />
      <button onClick={verify}>Verify</button>
      <button onClick={signed}>Signed call</button>
      <button onClick={unsigned}>Unsigned call</button>
      <section id="password">
        <AccountSettings.ChangePassword
          onSuccess={() => setSaid('password: changed')}
          onError={(error) => setSaid(`${error.name}: ${error.message}`)}
        />
      </section>
      <section id="deletion">
        <AccountSettings.DeleteUser
          onSuccess={() => setSaid('deleted')}
          onError={(error) => setSaid(`${error.name}: ${error.message}`)}
        />
      </section>
      <button onClick={signOut}>Sign out</button>
      <output id="said">{said}</output>
    </main>
  );
}
