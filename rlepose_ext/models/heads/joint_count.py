"""One check that every head makes: the data set has the joints that the head was built for."""

from rlepose_ext.errors import UserError


def check_joint_count(head: object, option: str, what: str, count: int) -> None:
    """Refuse labels or flip pairs of another number of joints.

    Args:
        head: the head; its class is named.
        option: its attribute with the number of joints K, an argument of its config too.
        what: what has ``count`` joints.
        count: the number found.

    Raises:
        UserError: another number than K.
    """
    expected = getattr(head, option)
    if count != expected:
        raise UserError(
            f'{type(head).__name__}: {what} has {count} joints, {option} is {expected}. Set '
            f'{option} of the head to the joint count of the data set (its metainfo).'
        )
