import { Authenticator } from '@aws-amplify/ui-react';
import '@aws-amplify/ui-react/styles.css';
import { Amplify } from 'aws-amplify';
import { parseAmplifyConfig } from 'aws-amplify/utils';
import { createRoot } from 'react-dom/client';
import outputs from '../amplify_outputs.json';
import { Account } from './account.jsx';

const config = parseAmplifyConfig(outputs);
Object.assign(config.Auth.Cognito, outputs.custom.countersign_sandbox);
Amplify.configure({ ...config, API: { REST: outputs.custom.API } });

createRoot(document.getElementById('root')).render(
  <Authenticator>{({ signOut, user }) => <Account user={user} signOut={signOut} />}</Authenticator>,
);
