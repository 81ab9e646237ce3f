"""What feature gates and predicted confidences of MM dynamics are worth."""
