package android.widget;

import android.content.Context;
import android.view.View;

public class TextView extends View {
    public TextView(Context context) {
        super(context);
    }

    public CharSequence getText() {
        return "";
    }

    public final void setText(CharSequence text) {}

    public final void setText(int identifier) {}

    public float getTextSize() {
        return 0;
    }

    public void setTextSize(float size) {}

    public void setTextIsSelectable(boolean selectable) {}
}
