"""`reconciler plan`: gathered from the pipeline's judgement, and told as text, JSON or a pull request's comment."""
