"""Decoding cells as if they had been sequenced in other batches."""
