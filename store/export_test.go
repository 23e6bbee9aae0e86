package store

import "context"

// SynchronousCommit asks PostgreSQL whether this session's commits wait for the disk.
func (s *Store) SynchronousCommit(ctx context.Context) (got string, err error) {
	return got, s.write.db.QueryRowContext(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&got)
}

// Pragma asks the writing connection of SQLite for a setting.
func (s *Store) Pragma(ctx context.Context, name string) (got string, err error) {
	return got, s.write.db.QueryRowContext(ctx, `PRAGMA `+name).Scan(&got)
}
