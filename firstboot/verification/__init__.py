"""What the finished pair is measured by, on one node and on both, beside the article's figures."""
