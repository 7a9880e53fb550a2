// Package store keeps values by key.
package store

import (
	"errors"
	"sync"
)

// ErrMissing says that there is no such key.
var ErrMissing = errors.New("store: no such key")

type Store struct {
	mu     sync.RWMutex
	values map[string][]byte
}

// New makes an empty store.
func New() *Store {
	return &Store{values: make(map[string][]byte)}
}

// Get returns a copy, so that callers may change it.
func (s *Store) Get(key string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok := s.values[key]
	if !ok {
		return nil, ErrMissing
	}
	out := make([]byte, len(value))
	copy(out, value)
	return out, nil
}

func (s *Store) Put(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = append([]byte(nil), value...)
}
