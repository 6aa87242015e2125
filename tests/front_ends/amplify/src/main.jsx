import { Authenticator } from '@aws-amplify/ui-react';
import '@aws-amplify/ui-react/styles.css';
import { createRoot } from 'react-dom/client';
import { Account } from './account.jsx';
import './amplify.js';

createRoot(document.getElementById('root')).render(
  <Authenticator>{({ signOut, user }) => <Account user={user} signOut={signOut} />}</Authenticator>,
);
