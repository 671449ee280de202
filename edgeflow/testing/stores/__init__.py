"""What every store, and every binding of `edgeflow_kv`, must do."""
