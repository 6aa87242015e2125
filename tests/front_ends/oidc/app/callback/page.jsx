'use client';

import { useRouter } from 'next/navigation';
import { useEffect, useState } from 'react';
import { sessions } from '../session.js';

// React runs an effect of a development build twice, and a code is good for one exchange.
let exchange;

export default function Callback() {
  const router = useRouter();
  const [problem, setProblem] = useState('');
  useEffect(() => {
    exchange ??= sessions().signinCallback();
    exchange.then(() => router.replace('/'), (error) => setProblem(`${error.name}: ${error.message}`));
  }, [router]);
  return <p>{problem || 'Signing in …'}</p>;
}
