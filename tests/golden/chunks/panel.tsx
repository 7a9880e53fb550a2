import React, { useState } from 'react';

interface Props {
  title: string;
  onClose?: () => void;
}

export function Panel({ title, onClose }: Props): JSX.Element {
  const [open, setOpen] = useState(true);
  if (!open) {
    return <></>;
  }
  return (
    <section className="panel">
      <header>
        <h1>{title}</h1>
        <button onClick={() => { setOpen(false); onClose?.(); }}>Close</button>
      </header>
      <ul>
        {[1, 2, 3].map((n) => <li key={n}>{n}</li>)}
      </ul>
    </section>
  );
}

export const Empty = (): JSX.Element => <Panel title="empty" />;
